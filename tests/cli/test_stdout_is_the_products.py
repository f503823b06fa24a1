"""What a model's code prints, when it is imported, built and run, goes to standard error; standard output is ours."""

import csv
import json
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

import cnncost
from cnncost.cli import stdout
from tests.cli.calls import ran
from tests.samples import sample

NOISY = """
import os
import sys

from torch import nn

print("at import")
os.write(1, b"at import, past Python\\n")


def spoken(where):
    print(where)
    print(where, file=sys.__stdout__)
    os.write(1, f"{where}, past Python\\n".encode())


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        spoken("when built")
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        spoken("in forward")
        return self.layer(x)
"""
SHAPE = ("--input", "1x3x8x8")
BUDGET = '[[budget]]\nmodel = "net.py:Net"\ninput = "1x3x8x8"\nmacs = "<= 9G"\n'


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NOISY)
    (tmp_path / "cnncost.toml").write_text(BUDGET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def succeeded(capfd, *arguments):
    code, out, err = ran(capfd, *arguments)
    assert code == 0, err
    return out, err


def no_word_of_it(text):
    return not any(said in text for said in ("at import", "when built", "in forward", "past Python"))


READ = {"json": json.loads, "csv": lambda text: list(csv.reader(text.splitlines())), "junit": ET.fromstring}


@pytest.mark.parametrize(
    ("arguments", "form"),
    [
        pytest.param(("summarize", "net.py:Net", *SHAPE), "json", id="summarize json"),
        pytest.param(("summarize", "net.py:Net", *SHAPE), "csv", id="summarize csv"),
        pytest.param(("summarize", "net.py:Net", *SHAPE), "text", id="summarize text"),
        pytest.param(("summarize", "net.py:Net", *SHAPE, "--trace", "real"), "markdown", id="summarize real"),
        pytest.param(("memory", "net.py:Net", *SHAPE), "json", id="memory"),
        pytest.param(("rf", "net.py:Net", *SHAPE), "csv", id="rf"),
        pytest.param(("roofline", "net.py:Net", "--device", "h100", *SHAPE), "json", id="roofline"),
        pytest.param(("compare", "net.py:Net", *SHAPE), "csv", id="compare"),
        pytest.param(("diff", "net.py:Net", "net.py:Net", *SHAPE), "json", id="diff"),
        pytest.param(("check", "--jobs", "1"), "junit", id="check"),
        pytest.param(("formula", "net.py:Net", *SHAPE, "--vary", "batch"), "json", id="formula"),
        pytest.param(("verify", "net.py:Net", *SHAPE, "--no-fvcore"), "json", id="verify"),
    ],
)
def test_formats_are_what_they_say(here, capfd, arguments, form):
    out, err = succeeded(capfd, *arguments, "--format", form)

    assert out
    assert no_word_of_it(out)
    READ.get(form, str)(out)
    assert {"at import", "when built", "in forward", "in forward, past Python"} <= set(err.splitlines())


def test_help_and_completion_are_products(capfd):
    assert "Usage: cnncost rf" in succeeded(capfd, "rf", "--help")[0]
    assert "COMPLETE" in succeeded(capfd, "completion", "bash")[0]


@pytest.mark.long
@pytest.mark.parametrize("into_a_file", sample([False, True], 1))
def test_printf_that_c_keeps_back_goes_there_too(here, into_a_file):
    """C's library flushes what is printed into a pipe when the program ends: it must have gone before that."""
    (here / "c.py").write_text(
        "import ctypes\nfrom torch import nn\nctypes.CDLL(None).printf(b'by printf\\n')\nNet = nn.ReLU\n"
    )
    command = [sys.executable, "-m", "cnncost", "summarize", "c.py:Net", "--input", "1x3", "--format", "json"]
    with (here / "out.txt").open("w+") as file:
        out = file if into_a_file else subprocess.PIPE
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, check=True, cwd=here)
        file.seek(0)
        text = file.read() if into_a_file else done.stdout

    assert json.loads(text)["model"] == "c.py:Net"
    assert "by printf" in done.stderr


LATE = {
    "atexit": "import atexit\natexit.register(print, 'atexit')",
    "atexit, past Python": "import atexit, os\natexit.register(os.write, 1, b'atexit, past Python\\n')",
    "a thread": (
        "import threading\nend = threading.main_thread()\n"
        "threading.Thread(target=lambda: (end.join(), print('a thread'))).start()"
    ),
    "a destructor": "class D:\n    def __del__(self, say=print):\n        say('a destructor')\nkept = D()",
    "stdio": "import atexit, ctypes\natexit.register(ctypes.CDLL(None).printf, b'stdio\\n')",
}
"""What prints its name late."""


@pytest.mark.long
def test_what_is_printed_as_the_program_ends_goes_there_too(tmp_path):
    """In one process, as each start of it imports torch."""
    (tmp_path / "late.py").write_text("\n".join([*LATE.values(), "from torch import nn", "Net = nn.ReLU\n"]))
    command = [sys.executable, "-m", "cnncost", "summarize", "late.py:Net", "--input", "1x3", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)

    assert json.loads(done.stdout)["model"] == "late.py:Net"
    assert sorted(done.stderr.splitlines()) == sorted(LATE)


def say(text):
    """As `print`."""
    sys.stdout.write(f"{text}\n")


def test_afterwards_standard_output_is_as_it_was(capfd):
    before = sys.stdout
    with stdout.redirected():
        say("aside")
        with stdout.restored():
            say("product")
        say("aside again")
        with pytest.raises(ZeroDivisionError), stdout.restored():
            1 / 0  # noqa: B018
        say("and again")
    say("after")

    assert sys.stdout is before
    out, err = capfd.readouterr()
    assert (out.split(), err.splitlines()) == (["product", "after"], ["aside", "aside again", "and again"])


def test_of_the_library_nothing_is_turned_aside(here, capfd):
    cnncost.analyze("net.py:Net", "1x3x8x8")
    assert "in forward" in capfd.readouterr().out
