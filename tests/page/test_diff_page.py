"""The page of two models: what it shows is what both Reports have, and bands are coloured by what changed."""

import csv
import io
import itertools

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from torch import nn

import cnncost
from cnncost import units
from cnncost.budget.render.diff_page import page as document
from cnncost.budget.render.words import figure_changes
from cnncost.budget.united import united
from cnncost.render.html import to_html
from tests.page.conftest import LIBRARY
from tests.samples import sample

FIGURES = ("macs", "params", "flops")
PAIRS = [
    ("resnet18", "resnet34"),
    ("vgg16_c", "vgg16"),
    ("resnet18", "alexnet"),
    ("lenet5", "lenet5"),
    ("odd", "known"),
]


class Net(nn.Module):
    """A layer, and perhaps an op without a rule."""

    def __init__(self, odd):
        super().__init__()
        self.odd, self.first = odd, nn.Linear(4, 4)

    def forward(self, x):
        x = self.first(x)
        return torch.ops.cnncost_test_page.odd(x) if self.odd else x.relu()


def compared(report, old, new):
    sides = [
        cnncost.analyze(Net(name == "odd"), "2x4", name=name) if name in {"odd", "known"} else report(name)
        for name in (old, new)
    ]
    return cnncost.diff(*sides), sides


def text_of(diff):
    return to_html(document(diff, (diff.old.model, diff.new.model)))


def signed(number, show=lambda n: f"{n:,}"):
    return "±" + show(0) if not number else ("+" if number > 0 else "−") + show(abs(number))


def test_the_library_without_a_rule_is_there():
    assert LIBRARY.ns == "cnncost_test_page"


@pytest.mark.parametrize(("old", "new"), sample(PAIRS, 3))
def test_totals_are_the_reports(old, new, report, opened):
    diff, (before, after) = compared(report, old, new)
    page = opened(text_of(diff))
    for name in FIGURES:
        sides = [getattr(each.totals, name) for each in (before, after)]
        marks = ["≥" if each.totals.lower_bound and name != "params" else "" for each in (before, after)]
        shown = [page.locator(f"[data-total={name}_{side}]").inner_text() for side in ("old", "new", "change")]
        change = ("~" if any(marks) else "") + signed(sides[1] - sides[0])
        assert shown == [*(mark + f"{n:,}" for mark, n in zip(marks, sides, strict=True)), change]
    sides = [each.totals.bytes_read + each.totals.bytes_written for each in (before, after)]
    assert page.locator("[data-total=traffic_change]").inner_text().lstrip("~") == signed(
        sides[1] - sides[0], units.data
    )


@pytest.mark.parametrize(("old", "new"), sample(PAIRS, 3))
def test_rows_are_the_tree_of_both(old, new, report, opened, rows):
    diff, _ = compared(report, old, new)
    page = opened(text_of(diff))
    page.get_by_role("button", name="Open all").click()
    shown, expected = rows(page), united(diff)
    assert len(shown) == len(expected)
    for got, row in zip(shown, expected, strict=True):
        cells = got["cells"]
        for name in ("macs", "params"):
            before, after = row.before[name], row.after[name]
            texts = [cells[f"{name}_{side}"].lstrip("≥~") for side in ("old", "new", "change")]
            assert texts == [f"{before:,}", f"{after:,}", signed(after - before)]
        bounds = tuple(cells[f"macs_{side}"].startswith("≥") for side in ("old", "new"))
        assert bounds == row.unknown
        assert cells["macs_change"].startswith("~") == any(row.unknown)
        assert got["level"] == row.level + 1
        if not row.own:
            assert cells["what"] == ", ".join(row.reasons)


def test_sentences_say_where(report, opened):
    diff, _ = compared(report, "vgg16_c", "vgg16")
    page = opened(text_of(diff))
    assert page.locator(".why li").all_inner_texts() == [*figure_changes(diff)]
    assert page.locator(".big .name").first.get_attribute("title") == "features"


def test_nothing_changed(report, opened):
    diff, _ = compared(report, "lenet5", "lenet5")
    page = opened(text_of(diff))
    assert page.locator(".why li").all_inner_texts() == ["the same, module by module"]
    assert page.locator(".band:not(.same)").count() == 0


@pytest.mark.parametrize("figure", sample(["macs", "params", "flops", "traffic"], 2))
def test_bands_are_coloured_by_change(figure, report, opened):
    """kernel 1→3 in conv3_3, conv4_3 and conv5_3: nine times the MACs; all else is the same."""
    diff, _ = compared(report, "vgg16_c", "vgg16")
    page = opened(text_of(diff))
    page.locator(".band", has_text="features").dblclick()
    page.get_by_label("Sizes by").select_option(figure)
    bands = page.evaluate("[...document.querySelectorAll('.band')].map(band => [band.textContent, band.className])")
    named = {name: css.split() for name, css in bands if name}
    assert "same" in named["conv4_2"]
    # of floats moved, input and output are 2·512·28², the weights 512² before and 9·512² after: two thirds are new
    assert "grow3" in named["conv4_3"]


def test_bands_are_coloured_by_how_much(report, opened):
    """Of the parameters after, a third of those of features is new, and 3 % of all."""
    diff, _ = compared(report, "vgg16_c", "vgg16")
    page = opened(text_of(diff))
    page.get_by_label("Sizes by").select_option("params")
    assert "grow1" in page.locator(".band").first.get_attribute("class").split()
    assert "grow2" in page.locator(".band", has_text="features").get_attribute("class").split()


def test_added_and_removed_are_striped(report, opened):
    diff, _ = compared(report, "resnet18", "alexnet")
    page = opened(text_of(diff))
    bands = dict(page.evaluate("[...document.querySelectorAll('.band')].map(b => [b.textContent, b.className])"))
    assert {"shrink3", "whole"} <= {*bands["layer2"].split()}
    assert {"grow3", "whole"} <= {*bands["features"].split()}


def test_bands_are_as_wide_as_the_larger_side(report, opened):
    """Of the modules of unrelated networks, of which each is on one side alone."""
    diff, (before, after) = compared(report, "resnet18", "alexnet")
    page = opened(text_of(diff))
    page.get_by_label("Sizes by").select_option("macs")
    across = page.evaluate("document.querySelector('.bands').clientWidth")
    whole = before.totals.macs + after.totals.macs
    for name, side in (("layer2", before), ("layer4", before), ("features", after)):
        width = page.locator(".band", has_text=name).first.evaluate("band => parseFloat(band.style.width) + 0.6")
        assert width == pytest.approx(across * side.module(name).macs / whole, abs=0.1)


def test_what_is_chosen_is_chosen_in_all(report, opened):
    diff, _ = compared(report, "vgg16_c", "vgg16")
    page = opened(text_of(diff))
    page.locator(".band", has_text="conv4_3").click()
    assert page.locator(".inspector .path").inner_text() == "features.conv4_3"
    assert page.locator("[aria-selected=true] .name").get_attribute("title") == "features.conv4_3"
    assert page.locator(".inspector .what").inner_text() == "kernel 1→3, padding 0→1"
    before, after = 512 * 512 * 28 * 28, 512 * 512 * 9 * 28 * 28
    shown = [page.locator(f".inspector [data-column=macs_{side}]").inner_text() for side in ("old", "new", "change")]
    assert shown == [f"{before:,}", f"{after:,}", f"+{after - before:,}"]
    page.locator(".band", has_text="conv4_3").hover()
    assert f"{before:,} → {after:,} (+{after - before:,})" in page.locator(".tip").inner_text()


def test_states_can_be_searched(report, opened, rows):
    diff, _ = compared(report, "resnet18", "resnet34")
    page = opened(text_of(diff))
    page.get_by_label("layers only").check()
    page.get_by_label("Search").fill("state:added")
    leaves = [row for row in united(diff) if row.state == "added" and not row.own]
    expected = {row.path for row in leaves} - {row.path.rpartition(".")[0] for row in united(diff)}
    assert {row["name"] for row in rows(page)} - {f"{row.path} (own)" for row in leaves} == expected


def test_csv_is_exact(report, opened):
    diff, _ = compared(report, "resnet18", "resnet34")
    page = opened(text_of(diff), permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Open all").click()
    page.get_by_role("button", name="CSV", exact=True).click()
    page.get_by_text("rows copied").wait_for()
    found = [*csv.DictReader(io.StringIO(page.evaluate("navigator.clipboard.readText()")))]
    assert [(int(row["macs_old"]), int(row["macs_new"]), int(row["macs_change"])) for row in found] == [
        (row.before["macs"], row.after["macs"], row.after["macs"] - row.before["macs"]) for row in united(diff)
    ]


@pytest.mark.parametrize(("pair", "scheme"), sample(list(itertools.product(PAIRS, ["light", "dark"])), 3), ids=str)
def test_axe_finds_nothing(scheme, pair, report, opened):
    old, new = pair
    diff, _ = compared(report, old, new)
    page = opened(text_of(diff), color_scheme=scheme)
    page.get_by_role("treegrid").wait_for()
    page.locator("[data-row]").nth(1).click()
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"][:90] for node in each["nodes"][:3]]) for each in found] == []


@pytest.mark.parametrize("width", sample([360, 1280, 3840], 1))
def test_it_is_as_wide_as_the_window(width, report, opened):
    page = opened(text_of(compared(report, "resnet18", "alexnet")[0]), width=width)
    page.get_by_role("treegrid").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_scripts_it_is_the_table(report, opened):
    page = opened(text_of(compared(report, "resnet18", "resnet34")[0]), java_script_enabled=False)
    assert page.get_by_text("+1,849,688,064").first.is_visible() or page.get_by_text("+1.85 G").first.is_visible()


def test_the_command_writes_it(tmp_path, monkeypatch):
    from tests.cli.calls import exit_code

    monkeypatch.chdir(tmp_path)
    assert exit_code("diff", "lenet1", "lenet5", "-o", "d.html") == 0
    text = (tmp_path / "d.html").read_text()
    assert '"view":"diff"' in text
    assert "default-src 'none'" in text
