"""The roofline in the page: a dot for each layer, where the pass puts it."""

import re
from math import log

import pytest

from cnncost import units
from cnncost.devices import find
from cnncost.passes.roofline import roofline
from tests.samples import pairs


def own_calls(report, device):
    """Sums of the ops that each module runs itself, by path: seconds, FLOPs, bytes."""
    graph = report.graph
    sums = {}
    for call, each in roofline(graph, find(device)).by_call.items():
        path = graph.call_path(call).partition("#")[0]
        old = sums.get(path, (0, 0, 0))
        sums[path] = tuple(a + b for a, b in zip(old, (each.seconds, each.flops, each.nbytes), strict=True))
    return sums


@pytest.mark.parametrize(("name", "device"), pairs(["lenet5", "resnet50"], ["h100", "raspberry-pi-5"]))
def test_there_is_a_dot_for_each_layer_with_flops(name, device, report, opened):
    page = opened(report.html(name))
    page.get_by_label("Device").select_option(device)
    dots = page.locator(".dot").evaluate_all("dots => dots.map(dot => Number(dot.dataset.rows))")
    assert sum(dots) == sum(flops > 0 for _, flops, _ in own_calls(report(name), device).values())


@pytest.mark.parametrize("device", ["h100", "raspberry-pi-5"])
def test_a_dot_tells_its_layer(device, report, opened):
    page = opened(report.html("lenet5"), height=3000)
    page.get_by_label("Device").select_option(device)
    sums = own_calls(report("lenet5"), device)
    for dot in page.locator(".dot").all():
        dot.dispatch_event("pointermove", {"clientX": 10, "clientY": 10})
        path, _, time, place = page.locator(".tip").inner_text().splitlines()
        seconds, flops, nbytes = sums[path]
        assert time.startswith(f"{units.si(seconds, 's')}, bound by ")
        reached = re.fullmatch(r"(\S+) FLOPs a byte, (.*)", place)
        assert float(reached[1]) == pytest.approx(flops / nbytes, rel=5e-3)
        assert reached[2] == units.si(flops / seconds, "FLOP/s")


def test_dots_lie_on_logarithmic_axes(report, opened):
    """Two layers are as far apart as their intensities say, in decades."""
    page = opened(report.html("resnet50"))
    texts = page.locator(".roofline .axis").last.locator("text")
    *ticks, _ = texts.evaluate_all("texts => texts.map(text => [text.textContent, text.getAttribute('x')])")
    (low, left), (high, right) = ([float(n.replace(",", "")) for n in tick] for tick in (ticks[0], ticks[-1]))
    page.locator(".dot").first.wait_for()
    for dot in page.locator(".dot").all()[:6]:
        dot.dispatch_event("pointermove", {"clientX": 10, "clientY": 10})
        intensity = float(page.locator(".tip").inner_text().splitlines()[3].split()[0])
        wanted = left + (right - left) * log(intensity / low) / log(high / low)
        assert float(dot.get_attribute("cx")) == pytest.approx(wanted, abs=1.5)


def test_a_dot_chooses_its_layers_in_turn(report, opened):
    page = opened(report.html("resnet50"))
    dot = page.locator(".dot[data-rows='1']").first
    dot.dispatch_event("click")
    path = page.locator(".inspector .path").inner_text()
    assert path in {module.path for module in report("resnet50").modules}
    assert page.locator(".dot.chosen").count() == 1


def test_choosing_a_block_marks_its_dots(report, opened):
    page = opened(report.html("resnet50"))
    page.locator(".band", has_text="layer4").click()
    assert 0 < page.locator(".dot.chosen").count() < page.locator(".dot").count()
