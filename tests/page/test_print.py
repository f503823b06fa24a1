"""Printed pages: charts drawn for a wide screen fit a sheet of A4."""

import pytest

import cnncost

SHEET = 718
"""Pixels of CSS between margins of a centimetre: 210 mm less 20 mm, 96 to an inch."""
RIGHT = """() => [...document.querySelectorAll('svg, svg *')].filter(each => each.checkVisibility())
  .map(each => each.getBoundingClientRect().right)"""


def _summary(report):
    return report.html("resnet50")


def _comparison(report):
    return cnncost.compare({name: report(name) for name in ("lenet5", "vgg16", "resnet18", "resnet50")}).to_html()


PAGES = {"summary": _summary, "comparison": _comparison}


@pytest.mark.parametrize("name", PAGES)
def test_charts_fit(name, report, opened):
    """Drawn on a wide screen, then printed: charts are not drawn again."""
    page = opened(PAGES[name](report), width=1280)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": SHEET, "height": 1000})
    assert 0 < max(page.evaluate(RIGHT)) <= SHEET
