"""The page of a budget file at two revisions: figures of all models, and the page of one of them."""

import json

import pytest
from axe_playwright_python.sync_playwright import Axe

import cnncost
from cnncost import units
from cnncost.budget.render.diffs_page import page as document
from cnncost.render.html import to_html
from tests.samples import sample

PAIRS = {"small": ("lenet5", "lenet5"), "net": ("resnet18", "resnet34"), "odd": ("lenet1", "blocks")}
MISSING = {"gone": "has no figures at main: no such module"}
REVISIONS = ("main", "working tree")


@pytest.fixture(scope="module")
def diffs():
    from tests.page.conftest import analyzed

    found = {name: cnncost.diff(*map(analyzed, pair)) for name, pair in PAIRS.items()}
    for diff in found.values():  # what a budget measures beside
        for side, peak in ((diff.old, 1024), (diff.new, 5 * 1024)):
            side.totals["inference_peak"] = peak if diff is not found["small"] else 1024
    return found


@pytest.fixture
def page(diffs, opened):
    return opened(to_html(document(diffs, MISSING, REVISIONS, 12, "cnncost.toml")))


def figures(page, at):
    cells = page.locator(".all-models tbody tr").nth(at).locator("[data-figure]").all()
    return {
        each.get_attribute("data-figure"): (each.get_attribute("title"), each.inner_text().split()) for each in cells
    }


def test_figures_of_all_models_are_the_reports(page, diffs, report):
    """Those that changed come first."""
    order = page.locator(".all-models tbody button").all_inner_texts()
    assert order == ["net", "odd", "small"]
    for at, name in enumerate(order):
        old, new = (report(each).totals for each in PAIRS[name])
        shown = figures(page, at)
        marks = [("≥" if total.lower_bound else "") for total in (old, new)]
        for figure in ("params", "macs", "flops"):
            sides = [getattr(total, figure) for total in (old, new)]
            before, after = marks if figure != "params" else ("", "")
            change = sides[1] - sides[0]
            sign = "~" if any((before, after)) else ""
            told = f"{sign}{'+' if change > 0 else '−'}{abs(change):,}" if change else "same"
            assert shown[figure] == (f"before: {before}{sides[0]:,}", [f"{after}{sides[1]:,}", told])
        mark = marks[1]
        changed = [f"{mark}5.00", "KiB", f"{'~' if mark else ''}+4.00", "KiB"]
        peaks = ["1.00", "KiB", "same"] if name == "small" else changed
        assert shown["inference_peak"] == ("before: 1.00 KiB", peaks)
    assert units.data(5 * 1024) == "5.00 KiB"
    assert page.locator(".all-models tbody tr").nth(2).inner_text().endswith("the same, module by module")
    assert page.get_by_text(f"gone: {MISSING['gone']}").first.is_visible()


def test_one_model_is_its_own_page(page, report):
    assert page.get_by_role("button", pressed=True).inner_text() == "net"
    assert page.locator("[data-total=macs_new]").inner_text() == f"{report('resnet34').totals.macs:,}"
    page.get_by_role("button", name="small").click()
    assert page.get_by_role("button", pressed=True).inner_text() == "small"
    assert page.locator("[data-total=macs_new]").inner_text() == f"{report('lenet5').totals.macs:,}"
    assert page.locator("[role=treegrid]").count() == 1
    page.locator(".band", has_text="f6").click()
    assert page.locator(".inspector .path").inner_text() == "f6"


@pytest.mark.parametrize("scheme", sample(["dark", "light"], 1))
def test_axe_finds_nothing(scheme, diffs, opened):
    page = opened(to_html(document(diffs, MISSING, REVISIONS, 12, "")), color_scheme=scheme)
    page.get_by_role("treegrid").wait_for()
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"][:90] for node in each["nodes"][:3]]) for each in found] == []


@pytest.mark.parametrize("width", sample([360, 1280, 3840], 1))
def test_it_is_as_wide_as_the_window(width, diffs, opened):
    page = opened(to_html(document(diffs, MISSING, REVISIONS, 12, "")), width=width)
    page.get_by_role("treegrid").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_nothing_changed_or_nothing_is_there(diffs, opened):
    page = opened(to_html(document({"small": diffs["small"]}, {}, REVISIONS, 12, "")))
    assert page.locator(".all-models tbody tr").count() == 1
    page = opened(to_html(document({}, MISSING, REVISIONS, 12, "")))
    assert page.get_by_text(MISSING["gone"]).first.is_visible()


def test_without_scripts_it_is_the_table(diffs, opened):
    page = opened(to_html(document(diffs, MISSING, REVISIONS, 12, "")), java_script_enabled=False)
    assert page.get_by_text("21,797,672").first.is_visible()


def test_the_command_writes_it(diffs, tmp_path, monkeypatch):
    """For all budgets of a file."""
    from cnncost.budget import diffs as found
    from tests.cli.calls import exit_code

    (tmp_path / "cnncost.toml").write_text('[[budget]]\nmodel = "lenet5"\nmacs = "<= 1G"\n')
    monkeypatch.chdir(tmp_path)
    made = found.Diffs({"net": diffs["net"]}, {}, False, REVISIONS, ())
    monkeypatch.setattr(found, "between", lambda _file, _rev: made)
    assert exit_code("diff", "--rev", "main", "-o", "a.html") == 0
    data = json.loads((tmp_path / "a.html").read_text().split('id="data">')[1].split("</script>")[0])
    assert (data["view"], data["names"]) == ("diffs", [*REVISIONS])
    assert [model["name"] for model in data["models"]] == ["net"]
