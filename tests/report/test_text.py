import re
import subprocess
import sys

import pytest

from cnncost import analyze
from cnncost.errors import CnncostError
from cnncost.render.layout import text_width
from cnncost.render.text import showable
from cnncost.report.document import to_text

WIDTHS = [40, 57, 80, 100, 132, 160, 240]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("by", ["module", "layer", "op"])
@pytest.mark.parametrize("name", ["lenet5", "odd", "resnet50", "vgg16"])
def test_no_line_is_longer_than_the_terminal(name, by, width, report):
    assert max(map(text_width, to_text(report(name), by=by, width=width).split("\n"))) <= width


@pytest.mark.parametrize("name", ["resnet50", "vgg16", "alexnet"])
def test_80_columns_have_exact_numbers(name, report):
    text = to_text(report(name), depth=2, width=80)
    assert max(map(text_width, text.split("\n"))) == 80
    assert f"{report(name).totals.macs:,}" in next(line for line in text.split("\n") if line.startswith("total"))


def test_wide_terminals_show_more(report):
    heading = to_text(report("odd"), width=160).split("\n")[3].split()
    assert {"output", "trainable", "frozen", "read", "written"} < set(heading)


def test_narrower_than_readable_is_as_40(report):
    assert to_text(report("lenet5"), width=7) == to_text(report("lenet5"), width=40)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("lenet5 (LeNet5), input 1×1×32×32 float32, batch size 1", id="model, input, batch size"),
        pytest.param("MAC = one multiply-accumulate; FLOP: a MAC is two, plus bias, norm, activation", id="convention"),
        pytest.param("60,000 float32 parameters, all trainable, 234 KiB; 840 buffer elements, 3.28 KiB", id="held"),
        pytest.param("325,680 MACs, 694,086 FLOPs in 49 ops", id="exact totals"),
        pytest.param("biggest: c3, 46 % of MACs", id="biggest layer"),
    ],
)
def test_lenet5_says(text, report):
    assert text in to_text(report("lenet5"), width=80).split("\n")


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(r"^twice \(2 calls\) ", id="a module that is called twice"),
        pytest.param(r"^never \(not called\) ", id="a module that is never called"),
        pytest.param(r"^tied \(used\) .* 272 ", id="parameters that are used without a call"),
        pytest.param(r"^└─ 0 … 3 ×4 ", id="equal siblings"),
        pytest.param(r"^\(own\) .* ≥512 +≥33,844 ", id="what the model runs itself, as a lower bound"),
        pytest.param(r"^total .* ≥10,324,800 +≥20,846,536 ", id="totals as lower bounds"),
        pytest.param(r"^  cnncost_test_report.mystery, 1×, first in the model itself$", id="the op without a rule"),
        pytest.param(r"^線\[red\]\|\\x1b\[31m ", id="a name that could colour the terminal"),
    ],
)
def test_odd_shows(pattern, report):
    assert re.search(pattern, to_text(report("odd"), width=160), re.MULTILINE)


def test_colour_changes_nothing_but_colour(report):
    plain, colored = (to_text(report("odd"), width=80, color=color) for color in (False, True))
    assert "\x1b[" in colored
    assert "\x1b" not in plain
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", colored)
    assert [line.rstrip() for line in stripped.split("\n")] == plain.split("\n")


def test_biggest_row_stands_out_in_colour(report):
    line = next(line for line in to_text(report("lenet5"), width=80, color=True).split("\n") if "SparseConv2d" in line)
    assert line.startswith("\x1b[1;33mc3")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "no-such-encoding"])
def test_ascii_where_signs_are_missing(encoding, report):
    text = to_text(report("odd"), width=80, encoding=encoding)
    assert text.isascii()
    assert max(map(len, text.split("\n"))) <= 80


def test_showable_keeps_lines():
    assert showable("a·b\n1×2", "ascii") == "a*b\n1x2"
    assert showable("a·b\n1×2", "utf-8") == "a·b\n1×2"


def test_depth_0_is_the_total_alone(report):
    lines = to_text(report("lenet5"), depth=0, width=80).split("\n")
    assert lines[5].startswith("total")


def test_rows_fit_a_screen_and_a_half_by_default(report):
    for name in ("resnet152", "vgg19"):
        assert to_text(report(name), width=80).count("\n") < 75


def test_cut_depth_is_said(report):
    assert "2 of 4 levels shown; each row includes all below it" in to_text(report("resnet50"), depth=2, width=80)


def test_str_is_the_text(report, monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    assert str(report("lenet5")) == to_text(report("lenet5"), width=90)


def test_unknown_view(report):
    with pytest.raises(CnncostError, match="expected module, layer or op"):
        to_text(report("lenet5"), by="kind")


def test_plain_text_needs_no_rich():
    code = (
        "import sys; sys.modules['rich'] = None; from cnncost.report.model import Report; "
        "from cnncost.report.document import to_text; to_text(Report.from_json(sys.stdin.read())); "
        "sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    )
    saved = analyze("lenet5").to_json()
    done = subprocess.run([sys.executable, "-c", code], input=saved, text=True, check=False)  # our own code
    assert done.returncode == 0
