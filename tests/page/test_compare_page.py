"""The page of several models: fronts by brute force, dots where their figures are, stretches that keep models."""

import csv
import io
from itertools import pairwise
from math import log

import pytest
from axe_playwright_python.sync_playwright import Axe

from cnncost import units
from cnncost.budget import join
from cnncost.budget.compare import compare
from cnncost.budget.render.compare_page import page as document
from cnncost.budget.render.compare_page import page_data
from cnncost.render.html import to_html
from tests.samples import sample

NAMES = ("resnet18", "resnet34", "resnet50", "vgg11", "alexnet", "plain18", "lenet5")
ACCURACY = """model,top1,error,year,note
resnet18,69.758,30.242,2015,a
resnet34,73.314,26.686,2015,b
vgg11,69.02,30.98,2014,c
"""


@pytest.fixture
def rows(report):
    return compare([(name, report(name)) for name in NAMES])


@pytest.fixture
def joined(rows, tmp_path):
    (tmp_path / "accuracy.csv").write_text(ACCURACY)
    return join.join(rows, join.read(tmp_path / "accuracy.csv"))


def beaten(own, others):
    """Whether another is at least as good in both and better in one; costs, less is better."""
    return any(all(a <= b for a, b in zip(other, own, strict=True)) and other != own for other in others)


def test_fronts_are_those_of_brute_force(joined):
    data = page_data(joined.rows, joined)
    signs = {"params": 1, "macs": 1, "flops": 1, "memory": 1, "weight_bytes": 1, "joined top1": -1, "joined error": 1}
    values = {
        "joined top1": [dict(row.joined)["top1"] for row in joined.rows],
        "joined error": [dict(row.joined)["error"] for row in joined.rows],
    } | {name: [getattr(row, name) for row in joined.rows] for name in signs if " " not in name}
    assert {axis["name"]: axis["better"] for axis in data["axes"]} == {
        **{name: "less" if sign > 0 else "more" for name, sign in signs.items()}, "joined year": "",
    }  # fmt: skip
    assert len(data["fronts"]) == len(signs) * (len(signs) - 1) // 2
    for pair, front in data["fronts"].items():
        a, b = next((x, y) for x in signs for y in signs if f"{x} {y}" == pair)
        points = {
            i: (signs[a] * x, signs[b] * y)
            for i, (x, y) in enumerate(zip(values[a], values[b], strict=True))
            if x is not None and y is not None
        }
        assert front == [[i for i, point in points.items() if not beaten(point, points.values())]]


def test_different_work_has_no_front(report):
    rows = compare([("lenet5", report("lenet5")), ("x", report("blocks"))])
    assert page_data(rows)["fronts"] == {}


@pytest.fixture
def page(rows, opened):
    return opened(to_html(document(rows)), permissions=["clipboard-read", "clipboard-write"])


def shown_rows(page):
    page.get_by_role("button", name="CSV", exact=True).click()
    page.get_by_text("rows copied").wait_for()
    return [*csv.DictReader(io.StringIO(page.evaluate("navigator.clipboard.readText()")))]


def test_the_table_has_every_figure(page, report):
    page.get_by_text("Columns", exact=True).click()
    page.get_by_label("weights", exact=True).check()
    found = shown_rows(page)
    assert [(row["model"], *(int(row[n]) for n in ("params", "macs", "flops", "memory", "weight_bytes")))
            for row in found] == [
        (name, t.params, t.macs, t.flops, report(name).memory.inference_peak, t.param_bytes + t.buffer_bytes)
        for name in NAMES for t in [report(name).totals]
    ]  # fmt: skip


def test_what_the_table_shows_is_as_everywhere(page, report, rows):
    for i, row in enumerate(rows):
        cells = page.locator(f"[data-row='{i}']").first
        assert page.locator(f".grid [data-row='{i}'] [data-column=params]").inner_text() == f"{row.params:,}"
        assert page.locator(f".grid [data-row='{i}'] [data-column=memory]").inner_text() == units.data(row.memory)
        assert cells.count() == 1


def dots(page):
    found = page.evaluate(
        "[...document.querySelectorAll('circle')].map(c => [Number(c.dataset.row), +c.getAttribute('cx'), "
        "+c.getAttribute('cy'), c.classList.contains('best')])"
    )
    return {row: (x, y, best) for row, x, y, best in found}


@pytest.mark.parametrize(("x", "y"), [("params", "macs"), ("memory", "flops"), ("macs", "memory")])
def test_dots_lie_where_their_figures_are(page, rows, x, y):
    """On both axes equal ratios are equal distances, as they are logarithmic."""
    page.get_by_label("Across").select_option(x)
    page.get_by_label("Up").select_option(y)
    found = dots(page)
    assert len(found) == len(rows)
    for axis, name in ((0, x), (1, y)):
        order = sorted(range(len(rows)), key=lambda i: getattr(rows[i], name))
        low, high = order[0], order[-1]
        across = found[high][axis] - found[low][axis]
        assert (across > 0) == (axis == 0)
        for i in order:
            part = log(getattr(rows[i], name) / getattr(rows[low], name)) / log(
                getattr(rows[high], name) / getattr(rows[low], name)
            )
            assert found[i][axis] == pytest.approx(found[low][axis] + part * across, abs=0.01)
    points = {i: (getattr(row, x), getattr(row, y)) for i, row in enumerate(rows)}
    assert {i for i, dot in found.items() if dot[2]} == {i for i, p in points.items() if not beaten(p, points.values())}


def test_ticks_are_read_as_units_has_them(page):
    """No tick loses a zero that counts: 100 M is not 1 M."""
    for name in ("params", "macs", "memory"):
        page.get_by_label("Across").select_option(name)
        ticks = page.evaluate(
            "[...document.querySelectorAll('.scatter .axis:last-of-type text')]"
            ".map(t => [+t.getAttribute('x'), t.textContent])"
        )
        read = [(x, float(text.split()[0]) * FACTORS[text.split()[1]]) for x, text in ticks if text[0].isdigit()]
        assert len(read) >= 3
        values = [value for _, value in sorted(read)]
        assert values == sorted(values)
        steps = [(x, value) for x, value in sorted(read)]
        assert all(b[1] / a[1] == pytest.approx(exp_of(steps, a, b), rel=0.02) for a, b in pairwise(steps))


FACTORS = {"k": 1e3, "M": 1e6, "G": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "B": 1}


def exp_of(steps, a, b):
    """The ratio that a distance stands for, by the outermost ticks."""
    (x0, v0), (x1, v1) = steps[0], steps[-1]
    return (v1 / v0) ** ((b[0] - a[0]) / (x1 - x0))


def test_joined_columns_are_axes(rows, joined, opened):
    page = opened(to_html(document(joined.rows, joined)))
    assert page.get_by_label("Across").input_value() == "macs"
    assert page.get_by_label("Up").input_value() == "joined top1"
    found = dots(page)
    assert sorted(found) == [0, 1, 3]
    assert {i for i, dot in found.items() if dot[2]} == {0, 1}  # vgg11 has more MACs than both, and a lower accuracy
    assert "4 without a value have no dot" in page.locator(".scatter [role=status]").inner_text()
    page.get_by_label("Up").select_option("joined year")
    assert "it is not known what is better" in page.locator(".scatter [role=status]").inner_text()
    assert page.locator(".grid [data-row='0'] [data-column='joined top1']").inner_text() == "69.758"


def test_what_is_chosen_is_chosen_in_all(page):
    page.locator("circle[data-row='2']").click()
    assert page.locator("[aria-selected=true] .name").inner_text().startswith("resnet50")
    assert page.locator("path.chosen").get_attribute("data-row") == "2"
    page.locator(".grid [data-row='4']").click()
    assert page.locator("circle.chosen").get_attribute("data-row") == "4"


def drag(page, axis, low, high):
    """Over a stretch of an axis, from one part of its height to another, from the top."""
    page.locator(".parallel").scroll_into_view_if_needed()
    box = page.locator(f"[data-axis={axis}] .handle").bounding_box()
    x = box["x"] + box["width"] / 2
    page.mouse.move(x, box["y"] + low * box["height"])
    page.mouse.down()
    page.mouse.move(x, box["y"] + high * box["height"], steps=5)
    page.mouse.up()


def kept(page):
    return {
        int(each)
        for each in page.evaluate("[...document.querySelectorAll('path.model:not(.dim)')].map(p => p.dataset.row)")
    }


def test_a_stretch_keeps_what_is_in_it(page, rows):
    """The lower half of MACs' logarithmic axis; fewer parameters of those; then all again."""

    def half(name):
        values = [getattr(row, name) for row in rows]
        low, high = min(values) / 1.15, max(values) * 1.15
        return {i for i, n in enumerate(values) if log(n / low) / log(high / low) < 0.5}

    drag(page, "macs", 0.5, 1)
    assert kept(page) == half("macs") != {*range(len(rows))}
    assert f"{len(kept(page))} of {len(rows)} kept" in page.locator(".parallel").inner_text()
    dim = {int(n) for n in page.evaluate("[...document.querySelectorAll('circle.dim')].map(c => c.dataset.row)")}
    assert dim == {*range(len(rows))} - half("macs")
    drag(page, "params", 0.5, 1)
    assert kept(page) == half("macs") & half("params")
    page.get_by_role("button", name="Keep all").click()
    assert kept(page) == {*range(len(rows))}


def test_a_model_without_a_rule_for_an_op_is_marked(report, opened):
    rows = compare([("blocks", report("blocks")), ("lenet5", report("lenet5"))])
    page = opened(to_html(document(rows)))
    for name in ("macs", "flops", "memory"):
        assert page.locator(f".grid [data-row='0'] [data-column={name}]").inner_text().startswith("≥")
    assert not page.locator(".grid [data-row='0'] [data-column=params]").inner_text().startswith("≥")


@pytest.mark.parametrize("scheme", sample(["light", "dark"], 1))
def test_axe_finds_nothing(scheme, joined, opened):
    page = opened(to_html(document(joined.rows, joined)), color_scheme=scheme)
    page.get_by_role("treegrid").wait_for()
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"][:90] for node in each["nodes"][:3]]) for each in found] == []


@pytest.mark.parametrize("width", sample([360, 1280, 3840], 1))
def test_it_is_as_wide_as_the_window(width, rows, opened):
    page = opened(to_html(document(rows)), width=width)
    page.get_by_role("treegrid").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_scripts_it_is_the_table(rows, opened):
    page = opened(to_html(document(rows)), java_script_enabled=False)
    assert page.get_by_text("25,557,032").first.is_visible()


def test_one_model_alone(report, opened):
    page = opened(to_html(document(compare([("lenet5", report("lenet5"))]))))
    assert page.locator("circle").count() == 1


def test_the_command_writes_it(tmp_path, monkeypatch):
    from tests.cli.calls import exit_code

    monkeypatch.chdir(tmp_path)
    assert exit_code("compare", "lenet1", "lenet5", "--vary", "batch=1,2", "-o", "c.html") == 0
    assert '"view":"compare"' in (tmp_path / "c.html").read_text()
