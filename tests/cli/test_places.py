"""What can't be written or batched is told before the work: exit code 2, one line, nothing written."""

import os
import shlex
import subprocess

import pytest

from cnncost.errors import OutputError
from cnncost.files import check
from tests.cli.calls import ran

NET = """
import os
from torch import nn


class Net(nn.Module):
    def __init__(self, channels=3):
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3)

    def forward(self, x):
        print("hello")
        os.system("echo from a child")
        os.write(1, b"raw")
        return self.conv(x)
"""
QUIET = NET.replace("        print", "        return self.conv(x)\n        print")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(QUIET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


NO_BATCH_AXIS = [
    # a batch of as many as there are channels runs, and would be taken for a batch
    pytest.param(("summarize", "--batch", "5"), "batch 5: the input 3x8x8", id="summarize"),
    pytest.param(("summarize", "--batch", "3"), "batch 3: the input 3x8x8", id="as many as channels"),
    pytest.param(("memory", "--batch", "3", "--inference"), "batch 3: the input 3x8x8", id="memory"),
    pytest.param(("memory", "--device-memory", "1GB", "--max-batch"), "a batch size: the input 3x8x8", id="max batch"),
    pytest.param(("rf", "--batch", "2"), "batch 2: the input 3x8x8", id="rf"),
    pytest.param(("roofline", "--device", "h100", "--batch", "2"), "batch 2: the input 3x8x8", id="roofline"),
    pytest.param(("compare", "--batch", "3"), "batch 3: the input 3x8x8", id="compare"),
    pytest.param(("bench", "--batch", "1,3", "--seconds", "0.01"), "a batch size: the input 3x8x8", id="bench"),
]


@pytest.mark.parametrize(("arguments", "told"), NO_BATCH_AXIS)
def test_no_batch_size_is_set_in_channels(arguments, told, capfd, monkeypatch):
    monkeypatch.setattr("cnncost.cli.bench._measured", None)  # this machine is not measured before
    command, *more = arguments
    code, out, err = ran(capfd, command, "net.py:Net", "--input", "3x8x8", *more)

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert told in err
    assert "has no batch axis in which to set it; give it one: --input 1x3x8x8" in err


@pytest.mark.parametrize("given", [("--input", "1x3x8x8"), ("--input", "2x3x8x8")])
def test_with_a_batch_axis_it_is_set(given, capfd):
    code, out, err = ran(capfd, "summarize", "net.py:Net", *given, "--batch", "3")

    assert (code, err) == (0, "")
    assert "input 3×3×8×8 float32, batch size 3" in out


PLACES = [
    pytest.param("no/x.csv", "folder no does not exist; make it first: mkdir -p no", id="no folder"),
    pytest.param("net.py/x.csv", "net.py is not a folder", id="a file as a folder"),
    pytest.param("/proc/x.csv", "no file can be created in /proc", id="a file system that takes none"),
    pytest.param("/sys/x.csv", "folder /sys", id="another"),
    pytest.param("locked/x.csv", "folder locked may not be written to", id="without permission"),
    pytest.param("locked/there.csv", "folder locked may not be written to", id="a file there, without permission"),
]


@pytest.mark.parametrize(("place", "told"), PLACES)
@pytest.mark.parametrize(
    "command",
    [
        ("summarize", "net.py:Net"), ("roofline", "net.py:Net", "--device", "h100"), ("lecture",), ("zoo",),
        ("zoo", "lenet5"), ("formula", "net.py:Net", "--input", "1x3x8x8", "--vary", "batch"),
    ],
)  # fmt: skip
def test_a_place_is_tried_before_the_work(place, told, command, here, capfd, monkeypatch):
    if "locked" in place and os.geteuid() == 0:
        monkeypatch.setattr("pathlib.Path.touch", _denied)  # root may write anywhere
    (here / "locked").mkdir()
    (here / "locked/there.csv").write_text("kept")
    monkeypatch.setattr("cnncost.lecture.findings.find", None)  # first: what it imports keeps `analyze`
    monkeypatch.setattr("cnncost.analysis.analyze", None)
    code, out, err = ran(capfd, *command, "-o", place)

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert told in err
    assert [path.name for path in (here / "locked").iterdir()] == ["there.csv"]
    assert (here / "locked/there.csv").read_text() == "kept"


def _denied(self, **_how):
    raise PermissionError(13, "Permission denied", str(self))


@pytest.mark.parametrize("command", ["lecture", "rf"])
def test_a_folder_of_reports_is_tried_before_the_work(command, capfd, monkeypatch):
    monkeypatch.setattr("cnncost.lecture.reports.reports", None)
    monkeypatch.setattr("cnncost.cli.rf.reports", None)
    code, out, err = ran(capfd, command, "--write-reports", "no")

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "folder no does not exist" in err


def test_trying_leaves_nothing(here):
    before = sorted(here.iterdir())
    check(here / "new.csv")
    assert sorted(here.iterdir()) == before
    (here / "link.csv").symlink_to(here / "no" / "where.csv")
    with pytest.raises(OutputError):
        check(here / "link.csv")


SAVED = [
    pytest.param(("bench", "r.json"), "r.json: a saved report has no graph", id="bench"),
    pytest.param(("bench", "r.json", "--batch", "2", "--training"), "a saved report has no graph", id="a case"),
    pytest.param(("bench", "net.py:Nothing"), "Nothing", id="a class that is not there"),
    pytest.param(("summarize", "r.json#conv"), "r.json is a saved report, which has no method or module", id="#conv"),
    pytest.param(("compare", "r.json#conv"), "r.json is a saved report, which has no method or module", id="compare"),
    pytest.param(("memory", "r.json#"), "r.json", id="nothing behind the sign"),
]


@pytest.mark.parametrize(("arguments", "told"), SAVED)
def test_what_is_no_model_is_refused_before_this_machine_is_measured(arguments, told, capfd, monkeypatch):
    assert ran(capfd, "summarize", "net.py:Net", "--input", "1x3x8x8", "-o", "r.json")[0] == 0
    monkeypatch.setattr("cnncost.cli.bench._measured", None)
    code, out, err = ran(capfd, *arguments)

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert told in err


@pytest.mark.parametrize("closed", ["", "2>&-", "0<&-", "2>&- 0<&-"])
@pytest.mark.parametrize("form", ["csv", "json"])
def test_standard_output_is_the_products_whatever_is_closed(closed, form, here, python):
    (here / "net.py").write_text(NET)
    line = f"{shlex.join(python)} -m cnncost summarize net.py:Net --input 1x3x8x8 --format {form} {closed}"
    done = subprocess.run(line, shell=True, capture_output=True, check=False)  # noqa: S602  # the shell closes them

    assert done.returncode == 0
    assert done.stdout.startswith(b"path,class" if form == "csv" else b"{\n")
    assert not any(text in done.stdout for text in (b"hello", b"from a child", b"raw"))
    assert ("2>&-" in closed) == (done.stderr == b"")


STREAMS = [
    pytest.param("-o /dev/stdout | cat", "out", "", id="a pipe"),
    pytest.param("-o /dev/stdout", "out", "", id="a file"),
    pytest.param("-o /dev/fd/1", "out", "", id="by number"),
    pytest.param("-o /proc/self/fd/1", "out", "", id="by the system's name"),
    pytest.param("-o /dev/stderr", "", "out", id="standard error"),
    pytest.param("-o /dev/fd/3 3>&1", "out", "", id="another descriptor"),
]


@pytest.mark.parametrize(("line", "out", "err"), STREAMS)
def test_a_stream_as_a_place(line, out, err, here, python):
    """It is written to as it is, behind what others have written to the same file; no other file is touched."""
    (here / "net.py").write_text(QUIET)
    for name in ("out", "err"):
        (here / name).write_text("before\n")
    command = f"{shlex.join(python)} -m cnncost summarize net.py:Net --input 1x3x8x8 --format csv"
    done = subprocess.run(["sh", "-c", f"( {command} {line} ) >>out 2>>err"], check=False)  # noqa: S607

    assert done.returncode == 0
    head = "before\npath,class"
    for name, wanted in (("out", out), ("err", err)):
        text = (here / name).read_text()
        assert text.startswith(head) if wanted else text == "before\n", name


def test_a_stream_that_is_not_open(capfd, monkeypatch):
    monkeypatch.setattr("cnncost.analysis.analyze", None)
    code, out, err = ran(capfd, "summarize", "net.py:Net", "-o", "/dev/fd/987", "--format", "csv")
    assert (code, out, err) == (2, "", "cnncost: /dev/fd/987: is not open; choose another place\n")
