"""Memory over time: each moment is what the pass says, and who holds it adds up."""

import re

import pytest

from cnncost import units
from cnncost.passes.memory import USES, memory, tensors
from cnncost.report.interactive import summary


def graph_of(report, run):
    return report.graph if run == "inference" else report.training


@pytest.mark.parametrize(
    ("name", "run"), [("lenet5", "inference"), ("resnet50", "inference"), ("lenet5 training", "training step")]
)
def test_a_moment_tells_what_is_alive(name, run, report, opened):
    page = opened(report.html(name))
    if run != "inference":
        page.locator(".memory select").select_option(run)
    graph = graph_of(report(name), run)
    found = memory(graph)
    curves = found.curves(graph)
    last = len(graph.nodes) - 1
    for moment in {0, 1, last // 3, last // 2, last}:
        page.get_by_label("op of the run").fill(str(moment))
        told = page.locator(".told p").first.inner_text()
        path = graph.call_path(graph.nodes[moment].call).partition("#")[0]
        assert told.startswith(
            f"{units.data(found.timeline[moment])} at op {moment + 1} of {last + 1:,}: {graph.nodes[moment].name} in "
        )
        assert path in told
        assert graph.nodes[moment].phase in told
        uses = [page.locator(f"[data-use='{use}']").inner_text() for use in USES if curves[use][moment]]
        assert uses == [f"{use} {units.data(curves[use][moment])}" for use in USES if curves[use][moment]]


def test_it_opens_at_the_peak(report, opened):
    page = opened(report.html("resnet50"))
    peak = report("resnet50").memory.inference.peak
    assert page.locator(".told p").first.inner_text().startswith(f"{units.data(peak.nbytes)} at op {peak.node + 1} of")
    assert f"Peak {units.data(peak.nbytes)}" in page.locator(".memory").inner_text()


def test_holders_are_the_largest_of_the_run_and_of_before(report, opened):
    page = opened(report.html("lenet5"))
    graph = report("lenet5").graph
    found = memory(graph)
    at = found.peak.node
    alive = [
        each for each in tensors(graph, found) if (each.born or 0) <= at and (each.died is None or each.died >= at)
    ]
    made = sorted((each.nbytes for each in alive if each.born is not None), reverse=True)
    before = sorted((each.nbytes for each in alive if each.born is None), reverse=True)
    shown = page.locator(".holders td.n").evaluate_all("cells => cells.map(cell => cell.title)")
    assert shown == [f"{n:,} B" for n in made[:7] + before[:4]]


@pytest.mark.parametrize("name", ["lenet5", "resnet50", "blocks", "lenet5 training"])
def test_what_is_held_adds_up_at_every_op(name, report):
    """Of the page's data, read as the program reads it."""
    for run in summary(report(name))["memory"]["runs"]:
        held = run["held"]
        rows = list(zip(held["use"], held["bytes"], held["born"], held["died"], strict=True))
        total = dict(run["total"])
        curves = {use: dict(changes) for use, changes in run["uses"].items()}
        now, by_use = 0, dict.fromkeys(curves, 0)
        for moment in range(run["nodes"]):
            now = total.get(moment, now)
            alive = [(use, nbytes) for use, nbytes, born, died in rows if born <= moment <= died]
            assert sum(nbytes for _, nbytes in alive) == now
            for use, curve in curves.items():
                by_use[use] = curve.get(moment, by_use[use])
                assert sum(nbytes for each, nbytes in alive if run["use_names"][each] == use) == by_use[use]


def test_pointing_tells_and_a_click_chooses(report, opened):
    page = opened(report.html("resnet50"), height=3000)
    box = page.locator(".memory svg").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    told = page.locator(".told p").first.inner_text()
    page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    module = re.search(r" in (\S+), forward", told)[1]
    assert page.locator(".inspector .path").inner_text() == module


def test_without_a_run_it_says_why(report, opened):
    read = type(report("lenet5")).from_json(report("lenet5").to_json())
    page = opened(read.to_html())
    assert "does not hold the run" in page.locator(".memory").inner_text()
    assert "does not hold the run" in page.locator(".roofline").inner_text()
    assert "does not hold the run" in page.locator(".reach").inner_text()
