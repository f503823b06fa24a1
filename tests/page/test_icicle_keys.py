"""The icicle by keyboard, and what a screen reader says of it: against walks of the tree in Python."""

import random

import pytest
from axe_playwright_python.sync_playwright import Axe

from cnncost import units
from cnncost.report.interactive import summary
from tests.samples import sample


def tree_of(report):
    """Parent, children and label of each row that has MACs."""
    rows = summary(report)["rows"]
    sizes, levels = rows["numbers"]["macs"], rows["level"]
    path, parent = [], []
    for i, level in enumerate(levels):
        del path[level:]
        parent.append(path[-1] if path else None)
        path.append(i)
    seen = [i for i, size in enumerate(sizes) if size]
    return parent, {i: [child for child in seen if parent[child] == i] for i in seen}


def moved(key, row, parent, children):
    """Where a key leads, from the root of what is shown, which is the model."""
    beside = children[parent[row]] if parent[row] is not None else [row]
    at = beside.index(row)
    return {
        "ArrowUp": parent[row] if parent[row] is not None else row,
        "ArrowDown": children[row][0] if children.get(row) else row,
        "ArrowRight": beside[min(at + 1, len(beside) - 1)],
        "ArrowLeft": beside[max(at - 1, 0)],
        "Home": beside[0] if row else row,
        "End": beside[-1] if row else row,
    }[key]


def chosen(page):
    return page.evaluate("Number(document.querySelector('.grid [aria-selected=true]')?.dataset.row ?? -1)")


def active(page):
    """The band that a screen reader is told of."""
    return page.evaluate(
        "() => { const bands = document.querySelector('.bands'), one = document.getElementById("
        "bands.getAttribute('aria-activedescendant')); return one && [one.getAttribute('aria-label'), one.ariaLevel, "
        "one.getAttribute('aria-selected')]; }"
    )


@pytest.fixture
def page(report, opened):
    made = opened(report.html("resnet18"))
    made.get_by_label("fold equal blocks").uncheck()
    made.get_by_role("button", name="Open all").click()
    made.get_by_role("tree").focus()
    return made


def test_arrows_walk_the_tree(page, report):
    parent, children = tree_of(report("resnet18"))
    rng = random.Random(3)  # noqa: S311  # a walk, not a secret
    row, seen = 0, set()
    for _ in range(60):
        key = rng.choice(["ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", "ArrowLeft", "ArrowUp", "Home", "End"])
        page.keyboard.press(key)
        row = moved(key, row, parent, children)
        seen.add(row)
        assert chosen(page) == row, key
    assert len(seen) > 10
    assert page.evaluate("document.activeElement.getAttribute('role')") == "tree"


def test_what_is_said_has_the_reports_numbers(page, report):
    for key in ("ArrowDown", "End", "ArrowLeft", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    path = page.locator(".inspector .path").inner_text()
    module = report("resnet18").module(path)
    label, level, selected = active(page)
    assert label.startswith(f"{path}, {module.class_name}, {units.exact(module.macs)} MACs, ")
    assert (int(level), selected) == (path.count(".") + 2, "true")
    assert page.locator(".bands [aria-selected=true]").count() == 1


def test_enter_zooms_and_escape_leads_back(page, report):
    for key in ("ArrowDown", "End", "ArrowLeft"):
        page.keyboard.press(key)
    path = page.locator(".inspector .path").inner_text()
    assert path == "layer4"
    page.keyboard.press("Enter")
    assert page.locator(".band").first.inner_text() == path
    assert page.locator(".icicle .crumbs button").all_inner_texts()[-1] == path
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    assert page.locator(".inspector .path").inner_text() == path  # what is shown is left by Escape alone
    page.keyboard.press("ArrowDown")
    assert page.locator(".inspector .path").inner_text() == f"{path}.0"
    page.keyboard.press("Escape")
    assert page.locator(".icicle .crumbs button").count() == 0
    assert page.evaluate("document.activeElement.getAttribute('role')") == "tree"


def test_the_focus_is_seen(page):
    page.keyboard.press("ArrowDown")
    style = "e => [getComputedStyle(e).outlineStyle, getComputedStyle(e).outlineWidth]"
    outline = page.locator(".band.active").evaluate(style)
    assert outline == ["solid", "3px"]
    page.get_by_label("Search").focus()
    assert page.locator(".band.active").evaluate("e => getComputedStyle(e).outlineStyle") == "none"


def test_narrow_modules_are_said_to_be_so(report, opened):
    """In a frame of few pixels, rows without a band of their own can be reached, too."""
    page = opened(report.html("resnet50"), width=360)
    page.get_by_label("Sizes by").select_option("flops")
    page.get_by_role("tree").focus()
    said = []
    page.keyboard.press("ArrowDown")
    for _ in range(8):
        page.keyboard.press("ArrowRight")
        said.append((page.locator(".inspector .path").inner_text(), active(page)[0]))
    for path, label in said:
        assert label.removeprefix("too narrow to be drawn, ").startswith(f"{path}, ")
    assert any(label.startswith("too narrow") for _, label in said)


@pytest.mark.parametrize("scheme", sample(["light", "dark"], 1))
def test_axe_finds_nothing_while_it_has_the_focus(scheme, report, opened):
    page = opened(report.html("resnet50"), color_scheme=scheme)
    page.get_by_role("tree").focus()
    for key in ("ArrowDown", "End", "Enter"):
        page.keyboard.press(key)
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"][:90] for node in each["nodes"][:3]]) for each in found] == []
