"""Pages as a browser lays them out: Chromium's own measures, read back from the page."""

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from cnncost.render.document import Table
from cnncost.render.html import to_html
from cnncost.report.document import _PLANNED, page

CHROMIUM = shutil.which("chromium")
MEASURE = """<script>document.documentElement.dataset.measured = JSON.stringify({window: innerWidth,
page: document.documentElement.scrollWidth,
boxes: [...document.querySelectorAll(".scroll")].map(box => [box.clientWidth, box.scrollWidth])})</script></body>"""


def measured(text, width, folder):
    """Widths in pixels: of the window, of the page, and of each box that scrolls with what is in it."""
    (folder / "page.html").write_text(text.replace("</body>", MEASURE))
    quiet = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    command = [
        CHROMIUM, *quiet.split(), "--disable-component-update", "--disable-sync",
        f"--user-data-dir={folder / 'profile'}",
        f"--window-size={width},900", "--dump-dom", f"file://{folder / 'page.html'}",
    ]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    found = re.search(r'data-measured="([^"]*)"', dom)
    assert found, dom[:300]
    return json.loads(html.unescape(found[1]))


def planned(document):
    """The document without columns of which `_steps` of the report's tables knows nothing."""
    return replace(document, parts=tuple(without(part) if isinstance(part, Table) else part for part in document.parts))


def without(table):
    kept = [i for i, column in enumerate(table.columns) if column.name in _PLANNED]
    rows = tuple(row._replace(cells=tuple(row.cells[i] for i in kept)) for row in table.rows)
    return Table(tuple(table.columns[i] for i in kept), rows, shown=table.shown, open=table.open)


@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here to lay the page out")
@pytest.mark.parametrize("width", [1280, 1920, 3840])
def test_no_column_of_a_resnet50_is_cut_off(width, report, tmp_path):
    """Of those that have a place in narrow tables; one that has none may make a page scroll."""
    found = measured(to_html(planned(page(report("resnet50")))), width, tmp_path)
    assert found["window"] == width
    assert found["page"] <= width
    assert [inner - outer for outer, inner in found["boxes"]] == [0, 0, 0]


@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here to lay the page out")
def test_on_a_narrow_screen_tables_scroll_and_the_page_does_not(report, tmp_path):
    found = measured(to_html(page(report("resnet50"))), 500, tmp_path)
    assert found["page"] <= found["window"]
    assert all(inner > outer for outer, inner in found["boxes"])
