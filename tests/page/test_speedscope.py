"""Flame graphs opened by speedscope itself, from its npm package that page/package.json pins."""

import base64
import re
from pathlib import Path

import pytest

import cnncost
from cnncost import units

APP = Path(__file__).parents[2] / "page/node_modules/speedscope/dist/release/index.html"
pytestmark = pytest.mark.skipif(not APP.exists(), reason="speedscope is not here: cd page && npm ci")


@pytest.fixture
def viewer(browser, tmp_path):
    """Opens a profile as `speedscope FILE` does: by a script that hands it over."""
    contexts = []

    def view(text):
        script = tmp_path / "profile.js"
        script.write_text(f"speedscope.loadFileFromBase64('net.json', '{base64.b64encode(text.encode()).decode()}')")
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 6000}))
        page = contexts[-1].new_page()
        wrong = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: asked.url.startswith(("file:", "blob:", "data:")) or wrong.append(asked.url))
        page.goto(f"{APP.as_uri()}#localProfilePath={script}")
        page.get_by_text("Sandwich").click()
        page.get_by_text("Symbol Name").wait_for()
        assert wrong == []
        return page

    yield view
    for context in contexts:
        context.close()


def totals(page):
    """What its table has for each frame: all that was run in it, by name."""
    rows = [row.inner_text().split("\t") for row in page.locator("tr").all()]
    return {row[-1].strip(): row[0].partition("(")[0].strip() for row in rows if len(row) >= 3 and row[0][:1].isdigit()}


def test_it_reads_what_the_report_has(viewer, report):
    found = report("resnet18")
    page = viewer(found.to_speedscope())
    assert page.locator("body").inner_text().count("MACs (1/4)") == 1
    shown = totals(page)
    wanted = {f"{m.path} ({m.class_name})": f"{m.macs:,}" for m in found.modules[1:] if m.macs}
    assert wanted.items() <= shown.items()
    assert len(wanted) > 30
    assert shown["resnet18 (ResNet)"] == f"{found.totals.macs:,}"
    page.keyboard.press("n")  # the next profile
    page.get_by_text("FLOPs (2/4)").wait_for()
    assert totals(page)["resnet18 (ResNet)"] == f"{found.totals.flops:,}"


def test_it_reads_predicted_times(viewer):
    prediction = cnncost.roofline("lenet5", device="h100")
    shown = totals(viewer(prediction.to_speedscope()))
    seconds = prediction.roofline.total.seconds
    amount, unit = re.match(r"([\d.]+)\s*(\D+)", shown["lenet5 (LeNet5)"]).groups()
    factor = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1}[unit.strip()]
    assert float(amount) * factor == pytest.approx(seconds, rel=0.01), units.si(seconds, "s")
