"""The page as a whole: one file, with and without scripts, in every width and colour, for every reader."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe

from cnncost.render.html import to_html
from cnncost.report.document import page as document

WIDTHS = [360, 768, 1280, 1920, 3840]


@pytest.mark.parametrize("name", ["lenet5", "resnet50", "blocks"])
def test_it_is_one_file(name, report):
    """Nothing is asked for: the policy allows no request, and the file names no place outside."""
    text = report(name).to_html()
    assert "default-src 'none'" in text
    text = text.replace('"http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|<link|<img|@import|url\(|<script[^>]*src", text)


def test_it_is_small(report):
    assert len(report("resnet50").to_html().encode()) < 500_000


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_as_wide_as_the_window(width, scheme, report, opened):
    page = opened(report("resnet50").to_html(), width=width, color_scheme=scheme)
    page.get_by_role("treegrid").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)"
    )


@pytest.mark.parametrize("name", ["lenet5", "resnet50", "blocks"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(name, scheme, report, opened):
    page = opened(report(name).to_html(), color_scheme=scheme)
    page.get_by_role("treegrid").wait_for()
    page.locator("[data-row]").nth(1).click()
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"][:90] for node in each["nodes"][:3]]) for each in found] == []


def test_without_scripts_it_is_the_table(report, opened):
    page = opened(report("resnet50").to_html(), java_script_enabled=False)
    assert page.get_by_text("25,557,032").first.is_visible()
    assert page.locator(".static details").first.is_visible()


def test_with_scripts_the_table_is_not_there_twice(report, opened):
    page = opened(report("resnet50").to_html())
    page.get_by_role("treegrid").wait_for()
    assert not page.locator(".static").is_visible()


def test_if_the_program_fails_the_table_is_shown(report, opened):
    broken = report("lenet5").to_html().replace('"view":"summary"', '"view":"nothing"')
    page = opened(broken)
    assert page.locator(".static").is_visible()
    assert [text for text in opened.wrong if "no view nothing" in text]
    opened.wrong.clear()


def test_markup_in_names_is_text(report, opened):
    page = opened(report("<b>&").to_html())
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
