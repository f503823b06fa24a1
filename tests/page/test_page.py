"""The page as a whole: one file, with and without scripts, in every width and colour, for every reader."""

import itertools
import re
from dataclasses import replace
from random import Random

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from torch import nn

import cnncost
from cnncost import units
from cnncost.render.html import to_html
from cnncost.report.document import page as document
from cnncost.report.interactive import summary
from tests.samples import sample

WIDTHS = [360, 768, 1280, 1920, 3840]


@pytest.mark.parametrize("name", ["lenet5", "resnet50", "blocks"])
def test_it_is_one_file(name, report):
    """Nothing is asked for: the policy allows no request, and the file names no place outside."""
    text = report.html(name)
    assert "default-src 'none'" in text
    text = text.replace('"http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|<link|<img|@import|url\(|<script[^>]*src", text)


def test_it_is_small(report):
    assert len(report.html("resnet50").encode()) < 500_000


@pytest.mark.parametrize(("width", "scheme"), sample(itertools.product(WIDTHS, ["light", "dark"]), 3))
def test_it_is_as_wide_as_the_window(width, scheme, report, opened):
    page = opened(report.html("resnet50"), width=width, color_scheme=scheme)
    page.get_by_role("treegrid").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)"
    )


@pytest.mark.parametrize(
    ("name", "scheme"), sample(itertools.product(["lenet5", "resnet50", "blocks"], ["light", "dark"]), 2)
)
def test_axe_finds_nothing(name, scheme, report, opened):
    page = opened(report.html(name), color_scheme=scheme)
    page.get_by_role("treegrid").wait_for()
    page.locator("[data-row]").nth(1).click()
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"][:90] for node in each["nodes"][:3]]) for each in found] == []


def test_without_scripts_it_is_the_table(report, opened):
    page = opened(report.html("resnet50"), java_script_enabled=False)
    assert page.get_by_text("25,557,032").first.is_visible()
    assert page.locator(".static details").first.is_visible()


def test_with_scripts_the_table_is_not_there_twice(report, opened):
    page = opened(report.html("resnet50"))
    page.get_by_role("treegrid").wait_for()
    assert [each.is_visible() for each in page.locator(".static").all()] == [False] * 3


def test_if_the_program_fails_the_table_is_shown(report, opened):
    broken = report.html("lenet5").replace('"view":"summary"', '"view":"nothing"')
    page = opened(broken)
    assert [each.is_visible() for each in page.locator(".static").all()] == [True] * 3
    assert [text for text in opened.wrong if "no view nothing" in text]
    opened.wrong.clear()


def test_markup_in_names_is_text(report, opened):
    page = opened(report.html("<b>&"))
    assert page.get_by_role("heading", level=1).inner_text() == "</script><b>& (Sequential)"
    assert page.locator("[role=treegrid] b").count() == 0


def test_a_report_from_a_file_has_what_it_holds(report, opened, rows):
    read = type(report("lenet5")).from_json(report("lenet5").to_json())
    page = opened(read.to_html())
    assert [row["name"] for row in rows(page)][1:] == [module.path for module in read.modules[1:]]
    assert page.get_by_text("Formulas: the report was read from a file").is_visible()


def test_a_notebook_gets_the_plain_table(report):
    assert "<script" not in report("lenet5")._repr_html_()


def test_only_pages_have_the_program(report):
    assert "<script" not in to_html(document(report("lenet5")))
    assert "<script" not in report("lenet5").to_html(top=3)


def test_what_the_program_does_not_show_stays(report, opened):
    """Ops, remarks and warnings: with scripts and without."""
    for scripts in (True, False):
        page = opened(report.html("blocks"), java_script_enabled=scripts)
        assert page.get_by_role("heading", name="Ops", exact=True).is_visible()
        assert page.get_by_text("1 op without a rule").is_visible()
        assert page.get_by_text("cnncost_test_page.odd, 1×, first in the model itself").is_visible()
        assert page.get_by_text("biggest: ").is_visible()
        assert page.get_by_role("heading", name="Layers").is_visible() == (not scripts)


@pytest.mark.long
def test_long_tables_are_cut_where_scripts_are_off(opened):
    net = nn.Sequential(*(nn.Sequential(*(nn.Linear(2, 2) for _ in range(49))) for _ in range(50)))
    text = cnncost.analyze(net, "1x2").to_html()
    page = opened(text, java_script_enabled=False)
    assert page.get_by_text("50 of 2,500 rows are in this table").is_visible()
    assert page.get_by_text("2,000 of 2,450 rows are in this table").is_visible()
    assert page.locator(".tree .row").count() == 52
    scripted = opened(text)
    scripted.get_by_label("fold equal blocks").uncheck()
    scripted.get_by_role("button", name="Open all").click()
    assert scripted.locator(".count").inner_text() == "2,501 of 2,501 rows"


def test_the_address_names_what_is_chosen(report, opened):
    page = opened(report.html("resnet50"))
    page.locator(".band", has_text="layer3").click()
    assert page.evaluate("location.hash") == "#layer3"
    page.goto(page.url.partition("#")[0] + "#layer4.1.conv2")
    page.reload()
    assert page.locator(".inspector .path").inner_text() == "layer4.1.conv2"
    assert page.locator("[role=row][aria-selected=true]").count() == 1
    assert page.locator("[role=treeitem][aria-selected=true]").get_attribute("aria-label").startswith("layer4.1.conv2,")


def test_ints_that_no_float_holds(opened, rows):
    """Beyond 2⁵³, where a number of JavaScript would lose the last one."""
    with torch.device("meta"):
        net = nn.Sequential(nn.Linear(2**28 + 1, 2**26 + 1), nn.Linear(2**26 + 1, 3))
    report = cnncost.analyze(net, "3x268435457")
    page = opened(report.to_html(), permissions=["clipboard-read", "clipboard-write"])
    wanted = (2**28 + 1) * (2**26 + 1)
    assert report.module("0").macs == 3 * wanted
    assert wanted + 2**26 + 1 > 2**53
    cells = {row["name"]: row["cells"] for row in rows(page)}
    assert cells["0"]["params"] == f"{wanted + 2**26 + 1:,}"
    assert cells["0"]["macs"] == f"{3 * wanted:,}"
    page.get_by_role("button", name="CSV").click()
    page.get_by_text("rows copied").wait_for()
    assert f",{3 * wanted}," in page.evaluate("navigator.clipboard.readText()")


def test_numbers_are_written_as_everywhere(report, opened, rows):
    """Random ones of every size, in the place of a report's own."""
    random = Random(7)  # noqa: S311  # figures, not secrets
    data = summary(report("resnet50"))
    table = data["rows"]
    ints = [random.choice([random.randrange(10**random.randrange(1, 19)), 1024**random.randrange(5) - 1, 0])
            for _ in table["name"]]  # fmt: skip
    seconds = [10 ** random.uniform(-10, 4) for _ in data["profiles"]["intensity"]] + [9.995e-4, 0.99949, 1.0]
    for column in ("params", "bytes_read"):
        table["numbers"][column] = [n if n < 2**53 else str(n) for n in ints]
    for device in data["devices"]:
        if "seconds" in device:
            device["seconds"] = seconds[: len(device["seconds"])]
    page = opened(to_html(replace(document(report("resnet50")), page_data=data | {"folded": None})))
    page.get_by_role("button", name="Open all").click()
    found = [row["cells"] for row in rows(page)]
    assert [cells["params"] for cells in found] == [units.exact(n) for n in ints]
    assert [cells["bytes_read"] for cells in found] == [units.data(n) for n in ints]
    assert [cells["seconds"] for cells in found] == [units.si(seconds[i], "s") for i in table["profile"]]
