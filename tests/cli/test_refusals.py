"""What can be refused is refused before work starts: exit code 2, one line, nothing written."""

import pytest

from tests.cli.calls import ran

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)

    def forward(self, x):
        return self.conv(x)


class Fails(nn.Module):
    def forward(self, x):
        raise ValueError("never")


class Needs(nn.Module):
    def __init__(self):
        super().__init__()
        import no_such_lib.ops
"""
GIVEN = ("--input", "1x3x8x8")
HUGE = "9" * 25


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


BEYOND = [
    pytest.param(("summarize", "net.py:Net", "--input", f"1x3x{HUGE}x8"), "expected sizes below 2^63", id="--input"),
    pytest.param(("summarize", "net.py:Net", "--input", f"x={HUGE}x3x8x8"), "sizes below 2^63", id="a named --input"),
    pytest.param(("rf", "net.py:Net", "--input", f"1x3x{2**62}x9"), "larger than torch can address", id="a product"),
    pytest.param(("memory", "lenet5", "--batch", HUGE), "expected less than 2^63", id="--batch"),
    pytest.param(("roofline", "lenet5", "--device", "h100", "--batch", HUGE), "less than 2^63", id="roofline --batch"),
    pytest.param(("bench", "lenet5", "--ceilings", "h100", "--batch", f"1,{HUGE}"), "less than 2^63", id="bench"),
    pytest.param(("bench", "lenet5", "--ceilings", "h100", "--threads", HUGE), "range 1<=x<=4096", id="--threads"),
    pytest.param(
        ("summarize", "net.py:Net", *GIVEN, "--model-args", f"width={HUGE}"), "Overflow when unpacking", id="arguments"
    ),
]
CONTRADICTIONS = [
    pytest.param(("summarize", "lenet5", "--format", "csv", "-o", "x.html"), "name says html, and", id="summary"),
    pytest.param(("summarize", "lenet5", "--format", "text", "-o", "x.html"), "--format says text", id="text"),
    pytest.param(("rf", "lenet5", "--format", "json", "-o", "x.md"), "says markdown, and --format says json", id="rf"),
    pytest.param(("memory", "lenet5", "--format", "csv", "-o", "x.json"), "ends in .csv", id="memory"),
    pytest.param(("roofline", "lenet5", "--device", "h100", "--format", "text", "-o", "x.csv"), "in .txt", id="roof"),
    pytest.param(("compare", "lenet5", "--format", "markdown", "-o", "x.csv"), "ends in .md", id="compare"),
    pytest.param(("diff", "lenet5", "lenet1", "--format", "json", "-o", "x.md"), "ends in .json", id="diff"),
    pytest.param(("verify", "lenet5", "--format", "json", "-o", "x.md"), "ends in .json", id="verify"),
    pytest.param(("bench", "lenet5", "--format", "csv", "-o", "x.md"), "ends in .csv", id="bench"),
    pytest.param(("check", "--format", "junit", "-o", "x.json"), "ends in .xml", id="check"),
    pytest.param(("check", "--format", "benchmark", "-o", "x.csv"), "ends in .json", id="JSON by another name"),
    pytest.param(("check", "--format", "comment", "-o", "x.html"), "ends in .md", id="markdown by another name"),
    pytest.param(("diff", "--rev", "a..b", "--format", "comment", "-o", "x.csv"), "ends in .md", id="a comment"),
    pytest.param(("roofline", "lenet5", "--device", "h100", "--format", "trace", "-o", "x.csv"), ".json", id="trace"),
    pytest.param(("summarize", "lenet5", "--format", "speedscope", "-o", "x.html"), ".json", id="speedscope"),
]  # fmt: skip
OTHERS = [
    pytest.param(("memory", "lenet5", "--device-memory", "24"), "example 24GB, 24GiB or 24B", id="no unit"),
    pytest.param(("memory", "lenet5", "--device-memory", "2.5"), "2.5GB, 2.5GiB or 2.5B", id="no unit, a fraction"),
    pytest.param(("memory", "lenet5", "--device-memory", "1e9"), "expected a unit", id="no unit, a power"),
    pytest.param(("summarize", "lenet5", "--input", "1x" + "9" * 5000), "of 5000 digits", id="thousands of digits"),
    pytest.param(("memory", "lenet5", "--workspace", "512"), "expected a unit", id="no unit, of a workspace"),
    pytest.param(("summarize", "lenet5", "--explain", 'layer("c1")'), "did you mean c1?", id="a path as a call"),
    pytest.param(("rf", "lenet5", "--layer", "layer('c1')"), "did you mean c1?", id="rf, a path as a call"),
    pytest.param(("bench", "lenet5", "--dtype", "int8"), "networks can be run in", id="a format without kernels"),
    pytest.param(("bench", "lenet5", "--dtype", "float32,tf32"), "networks can be run in", id="one of several"),
    pytest.param(("bench", "net.py:Net", "--input", "1x4x8x8", "-o", "x.md"), "expected 3 channels", id="a bad input"),
    pytest.param(("bench", "lenet5", "net.py:Net", "--input", "1x1x32x32"), "net.py:Net: ", id="a second model's"),
    pytest.param(("bench", "net.py:Fails", *GIVEN, "--picture", "p"), "never", id="a forward that raises"),
    pytest.param(("summarize", "net.py:Needs", *GIVEN), "'no_such_lib'; install it", id="a package, when built"),
    pytest.param(("summarize", "torch.no_such:Net", *GIVEN), "torch is installed without it", id="a part of torch"),
]


@pytest.mark.parametrize(("arguments", "words"), [*BEYOND, *CONTRADICTIONS, *OTHERS])
def test_it_is_refused(here, capfd, monkeypatch, arguments, words):
    monkeypatch.setattr("cnncost.bench.ceilings.measure", lambda *_: pytest.fail("work was begun"))
    code, out, err = ran(capfd, *arguments)

    assert (code, out) == (2, "")
    assert words in err
    last = err.rstrip().splitlines()[-1]
    assert words in last
    assert "Traceback" not in err
    assert "Exception raised from" not in err
    assert [path.name for path in here.iterdir() if path.name != "__pycache__"] == ["net.py"]


@pytest.mark.parametrize(
    "text", ["2x3x8x8", "2X3X8X8", "(2,3,8,8)", "(2, 3, 8, 8,)", "[2,3,8,8]", " [2, 3, 8, 8] ", "2×3×8×8", "2,3,8,8"]
)
def test_shapes_as_people_write_them(capfd, text):
    code, out, err = ran(capfd, "summarize", "net.py:Net", "--input", text, "--format", "csv")
    assert (code, err) == (0, "")
    # 2 images, 4 filters of 3·3·3 at 6·6 positions
    assert str(2 * 4 * 27 * 36) in out


@pytest.mark.parametrize("text", ["(2,3,8,8", "2,3,8,8]", "[2,3,8,8)", "()", "[]", "(2,3),(8,8)", "2x3x", "X"])
def test_what_is_no_shape(capfd, text):
    code, out, err = ran(capfd, "summarize", "net.py:Net", "--input", text)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "expected a shape such as 1x3x224x224" in err


def test_a_forgotten_batch_axis_is_said(capfd):
    code, out, _ = ran(capfd, "summarize", "net.py:Net", "--input", "3x8x8")
    assert code == 0
    assert "batch size 1\n" in out
    assert "the input 3x8x8 has no batch axis" in " ".join(out.split())
