import base64
import hashlib
import re

import pytest

from cnncost.render import html
from cnncost.report.document import page


def to_html(report, depth=None):
    return html.to_html(page(report, depth))


SVG = '"http://www.w3.org/2000/svg"'
"""A name that a browser knows drawings by, and asks nobody for."""


@pytest.mark.parametrize("name", ["lenet5", "odd", "resnet50"])
@pytest.mark.parametrize("made", [to_html, lambda report: report.to_html()], ids=["without program", "with it"])
def test_nothing_comes_from_outside(name, made, report):
    """No address, and nothing that has a source: scripts and styles stand in the page."""
    assert not re.search(r"https?:|<link|<img|@import|url\(|<[a-z]+ [^<>]*src=", made(report(name)).replace(SVG, ""))


@pytest.mark.parametrize("name", ["lenet5", "odd", "resnet50"])
def test_the_policy_allows_two_scripts_and_no_request(name, report):
    """Those that stand in the page, by their hashes: no name of a model can add another."""
    made = report(name).to_html()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', made)[1].split("; ")
    scripts = re.findall(r"<script>(.*?)</script>", made, re.DOTALL)
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in scripts]
    assert policy[:2] == ["default-src 'none'", f"script-src {' '.join(hashes)}"]
    assert len(scripts) == 2


def test_light_and_dark(report):
    assert "color-scheme: light dark" in to_html(report("lenet5"))
    assert "prefers-color-scheme: dark" in to_html(report("lenet5"))


def test_a_parent_opens_and_a_leaf_does_not(report):
    made = to_html(report("resnet50"))
    assert made.count("<details") == sum(not module.leaf for module in report("resnet50").modules) - 1


@pytest.mark.parametrize(
    ("depth", "opened"),
    [pytest.param(0, 0, id="closed"), pytest.param(1, 0, id="one level"), pytest.param(2, 4, id="two levels")],
)
def test_depth_says_what_is_open_at_first(depth, opened, report):
    assert to_html(report("resnet50"), depth=depth).count("<details open>") == opened


def test_names_are_escaped(report):
    made = to_html(report("odd"))
    assert "\x1b" not in made
    assert r"線[red]|\x1b[31m" in made


def test_markup_in_names_is_text(report):
    odd = report("odd")
    named = type(odd)("<b>&", odd.inputs, odd.totals, odd.layers, odd.ops, odd.unknown, {}, odd.tree, odd.param_dtypes)
    assert "<title>&lt;b&gt;&amp; (Odd): cost</title>" in to_html(named)


def test_says_what_text_says(report):
    made = to_html(report("odd"))
    for said in (
        "batch size 2",
        "a MAC is two",
        "≥10.3 M",
        "≥10,324,800",
        "first in the model itself",
        "biggest: twice",
    ):
        assert said in made


def test_biggest_is_marked(report):
    assert re.search(
        r'class="row big"><span class="name" style="--level: 0" title="c3">c3</span>', to_html(report("lenet5"))
    )


def test_notebooks_get_a_part_of_a_page(report):
    part = report("lenet5")._repr_html_()
    assert html.fragment(page(report("lenet5"), whole=False)).partition("</h3>")[0].partition("<h3>")[2] in part
    assert part.count("<tr>") + part.count('<tr class="big">') == len(report("lenet5").modules) + 1
    assert "Layers" not in part
    assert "<html" not in part
    assert "body {" not in part
