"""The page of the lecture: its networks drawn above the slides' tables, with the Reports' numbers."""

from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe

import cnncost
from cnncost.lecture.contents import FILE, LECTURE
from cnncost.lecture.document import document
from cnncost.lecture.drawings import page_data
from cnncost.lecture.findings import find
from cnncost.render.html import to_html
from tests.cli.calls import exit_code
from tests.samples import sample

SLIDES = (56, 79, 85, 94)
"""The networks of LeCun's slide, AlexNet, VGG, and ResNets with other shortcuts: shallow, deep, and with options."""


@pytest.fixture(scope="module")
def findings():
    return find(FILE.course.numbered(SLIDES))


@pytest.fixture
def page(findings, opened):
    return opened(to_html(replace(document(findings, course=LECTURE), page_data=page_data(findings))))


def test_boxes_have_the_reports_numbers(findings):
    networks = page_data(findings)["networks"]
    assert len(networks) >= 12
    for drawn in networks:
        name, _, options = drawn["name"].partition(" (")
        given = dict(each.split("=") for each in options.rstrip(")").split(", ") if each)
        report = cnncost.analyze(name, model_args=given)
        assert (drawn["params"], drawn["macs"]) == (report.totals.params, report.totals.macs)
        assert sum(box["macs"] for box in drawn["boxes"]) == report.totals.macs
        assert 3 <= len(drawn["boxes"]) <= 27
        for box in drawn["boxes"][1:]:
            module = report.module(box["path"])
            assert (box["params"], box["macs"]) == (box["siblings"] * module.params, box["siblings"] * module.macs)
            assert tuple(box["shape"]) == module.output_shape[1:]


def test_slides_are_those_of_the_claims(findings):
    slides = {each["name"]: [slide["number"] for slide in each["slides"]] for each in page_data(findings)["networks"]}
    assert slides["resnet34 (shortcut=A)"] == [94]
    assert slides["vgg13"] == [85]


def test_each_network_is_drawn(page, findings):
    for i, drawn in enumerate(page_data(findings)["networks"]):
        page.locator(".networks select").select_option(str(i))
        assert page.locator(".maps").count() == len(drawn["boxes"])
        assert f"{drawn['params']:,} parameters, {drawn['macs']:,} MACs" in page.locator(".networks").inner_text()


def test_boxes_are_as_high_as_their_maps(page):
    """AlexNet's maps are 227, 55, 27, 13 and 6 wide."""
    page.locator(".networks select").select_option(label="alexnet")
    sides = {"": 227, "features.conv1": 55, "features.conv2": 27, "features.conv3": 13}
    tall = {
        path: float(page.locator(f".maps[data-path='{path}'] rect:not(.hit)").first.get_attribute("height"))
        for path in sides
    }
    for path, side in sides.items():
        assert tall[path] == pytest.approx(tall[""] * side / 227, rel=1e-6)


def test_a_layer_that_is_chosen_is_told(page):
    page.locator(".networks select").select_option(label="alexnet")
    page.locator(".maps[data-path='features.conv2']").click()
    module = cnncost.analyze("alexnet").module("features.conv2")
    told = page.locator(".told").inner_text()
    assert f"{module.params:,} parameters, {module.macs:,} MACs" in told
    assert "256×27×27" in told
    page.locator(".networks figure").focus()
    page.keyboard.press("ArrowLeft")
    assert "conv2" not in page.locator(".told").inner_text()


def test_the_tables_stay(page):
    assert page.get_by_role("heading", name="Slide 79").is_visible()
    assert page.locator("table").first.is_visible()


@pytest.mark.parametrize("scheme", sample(["light", "dark"], 1))
def test_axe_finds_nothing(scheme, findings, opened):
    page = opened(to_html(replace(document(findings), page_data=page_data(findings))), color_scheme=scheme)
    page.locator(".maps").first.wait_for()
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]}).response["violations"]
    assert [(each["id"], [node["html"][:90] for node in each["nodes"][:3]]) for each in found] == []


@pytest.mark.parametrize("width", sample([360, 1280, 3840], 1))
def test_it_is_as_wide_as_the_window(width, findings, opened):
    page = opened(to_html(replace(document(findings), page_data=page_data(findings))), width=width)
    page.locator(".maps").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_command_writes_it(tmp_path):
    assert exit_code("lecture", "--slide", "79", "-o", str(tmp_path / "l.html")) == 0
    assert '"view":"lecture"' in (tmp_path / "l.html").read_text()
