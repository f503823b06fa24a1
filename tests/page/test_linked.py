"""What is chosen in one view is chosen in all."""

import itertools

import pytest

from cnncost import units
from cnncost.devices import find
from cnncost.passes.roofline import roofline
from tests.samples import sample

SIZES = {
    "macs": lambda row: row.macs, "params": lambda row: row.params, "flops": lambda row: row.flops,
    "traffic": lambda row: row.bytes_read + row.bytes_written, "allocated": lambda row: row.allocated,
}  # fmt: skip


def chosen(page):
    return page.locator(".inspector .path").inner_text()


def test_the_table_leads(report, opened):
    page = opened(report.html("lenet5"))
    page.locator("[data-row]").nth(1).click()
    first = page.locator("[data-row]").nth(1).locator(".name").get_attribute("title")
    assert chosen(page) == first
    assert page.locator(".band.chosen").inner_text() == first


def test_the_icicle_leads(report, opened):
    page = opened(report.html("resnet50"))
    page.locator(".band", has_text="layer3").click()
    assert chosen(page) == "layer3"
    assert page.locator("[aria-selected=true] .name").get_attribute("title") == "layer3"


def test_the_icicle_opens_what_the_table_has_closed(report, opened):
    page = opened(report.html("resnet50"))
    page.get_by_role("button", name="Close all").click()
    page.locator('.band[aria-label$=".conv2"]').first.click()
    assert page.locator("[aria-selected=true] .name").get_attribute("title").endswith("conv2")


@pytest.mark.parametrize(("name", "metric"), sample(itertools.product(["lenet5", "resnet50", "blocks"], SIZES), 5))
def test_bands_are_as_wide_as_their_share(name, metric, report, opened):
    page = opened(report.html(name))
    page.get_by_label("Sizes by").select_option(metric)
    widths = page.evaluate(
        """() => [...document.querySelectorAll('.band:not(.many)')].filter(band => band.style.top === '24px')
        .map(band => [band.textContent, parseFloat(band.style.width) + 0.6])"""
    )
    across = page.evaluate("document.querySelector('.bands').clientWidth")
    assert widths
    size = SIZES[metric]
    wide = report(name).with_memory()
    whole = size(wide.modules[0])
    for module, width in widths:
        if module and module != "(own)":
            assert width == pytest.approx(across * size(wide.module(module)) / whole, abs=0.1)


def test_bands_by_time_are_the_rooflines(report, opened):
    """Of the modules right below the model, on the device that is chosen."""
    page = opened(report.html("resnet50"))
    page.get_by_label("Sizes by").select_option("seconds")
    page.get_by_label("Device").select_option("rtx4090")
    found = roofline(report("resnet50").graph, find("rtx4090"))
    graph, seconds = report("resnet50").graph, {}
    for call, predicted in found.by_call.items():
        top = graph.call_path(call).partition(".")[0]
        seconds[top] = seconds.get(top, 0) + predicted.seconds
    across = page.evaluate("document.querySelector('.bands').clientWidth")
    for name in ("layer1", "layer2", "layer3", "layer4"):
        width = page.locator(".band", has_text=name).evaluate("band => parseFloat(band.style.width) + 0.6")
        assert width == pytest.approx(across * seconds[name] / found.total.seconds, abs=0.1)


def test_zooming_in_and_out(report, opened):
    page = opened(report.html("resnet50"))
    page.locator(".band", has_text="layer2").dblclick()
    assert page.locator(".icicle .crumbs button").all_inner_texts() == ["resnet50", "layer2"]
    assert page.locator(".band").first.inner_text() == "layer2"
    page.locator(".icicle .crumbs button").first.click()
    assert page.locator(".band").first.inner_text() == "resnet50"
    assert page.locator(".icicle .crumbs button").count() == 0


def test_the_inspector_has_every_number_and_the_formula(report, opened):
    page = opened(report.html("lenet5"))
    path = report("lenet5").layers[0].path
    page.locator(f"[data-row] .name[title='{path}']").click()
    module = report("lenet5").module(path)
    read = page.locator(".inspector [data-column=bytes_read]").inner_text()
    assert read.endswith(f"{module.bytes_read:,} B") or read == f"{module.bytes_read} B"
    assert page.locator(".inspector [data-column=macs]").inner_text() == f"{module.macs:,}"
    formulas = [line.strip() for line in report("lenet5").explain(path).splitlines() if " = " in line]
    shown = page.locator(".inspector .formula").first.inner_text()
    assert shown.splitlines()[0] in formulas
    assert f"{module.macs:,}" in shown


def test_times_are_the_rooflines(report, opened):
    page = opened(report.html("resnet50"))
    for name in ("h100", "raspberry-pi-5", "rtx4090"):
        page.get_by_label("Device").select_option(name)
        total = roofline(report("resnet50").graph, find(name)).total.seconds
        assert page.locator(".inspector [data-column=seconds]").inner_text() == units.si(total, "s")
    assert page.get_by_label("Device").locator("option[value=apple-a16]").is_disabled()


def test_the_inspector_says_what_the_table_adds_up(report, opened):
    """The row of a folded block has the sum of four; the module that is chosen by it, its own numbers."""
    page = opened(report.html("blocks"))
    page.get_by_role("button", name="Open all").click()
    page.locator("[data-row] .name[title='blocks.1.0 … blocks.4.0']").click()
    assert page.locator(".inspector .path").inner_text() == "blocks.1.0"
    assert "one of 4 equal ones, which the table adds up" in page.locator(".inspector").inner_text()
    params = page.locator(".inspector [data-column=params]").inner_text()
    assert int(params.replace(",", "")) == report("blocks").module("blocks.1.0").params
