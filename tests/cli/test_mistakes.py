"""What a new user mistypes or mistakes: the one line that follows says what to do, and doing that works."""

import json

import pytest

from tests.cli.calls import ran

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3)

    def forward(self, x):
        return self.conv(x)
"""
WRONG = """
import json

import torch
from torch import nn


class Misspelt(nn.Module):
    def foward(self, x):
        return x


class Two(nn.Module):
    def forward(self, x, mask, *, scale=1.0):
        return x * mask * scale


class Parses(nn.Module):
    def forward(self, x):
        return x * json.loads("{")


class Nested(nn.Module):
    def forward(self, batch):
        return torch.relu(batch["x"])


class Reads(nn.Module):
    def forward(self, x):
        return torch.from_numpy(x.numpy() + 1)


class Asks(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


def frozen():
    return nn.Linear(8, 4).requires_grad_(False)
"""
SCRIPT = "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--lr', required=True)\n"
FILES = {
    "net.py": NET,
    "wrong.py": WRONG,
    "train.py": f"{SCRIPT}parser.parse_args()\n",
    "plain.py": "import torch\nsize = 3\n",
    "config.json": json.dumps({"model_type": "bert"}),
    "list.json": "[1]",
}
IMAGE, ROW = ("--input", "1x1x8x8"), ("--input", "1x8")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


MISTAKES = [
    pytest.param(("net.py::Net", *IMAGE), "expected one colon: net.py:Net", id="as pytest names it"),
    pytest.param(("net.Net", *IMAGE), "did you mean net.py:Net?", id="as Python names it"),
    pytest.param(("Net", *IMAGE), "did you mean net.py:Net?", id="a class alone"),
    pytest.param(("net.py:Net",), "give one, for example --input 1x3x224x224", id="no input"),
    pytest.param(("net.py:Net", "-input", "1x1x8x8"), "Did you mean '--input'?", id="one hyphen"),
    pytest.param(("net.py:Net", "1x1x8x8"), "an input is given by --input 1x1x8x8", id="a shape without option"),
    pytest.param(("net.py:Net", "--input", "1x3x8x8"), "expected 1 channel on axis 1", id="channels of another image"),
    pytest.param(("net.py:Net", "--input", "8x8"), "4 axes (batch, 1 channel, 2 spatial axes)", id="a matrix"),
    pytest.param(("plain.py", *IMAGE), "no class or function in it creates a model", id="a file without a model"),
    pytest.param(("train.py:Net", *IMAGE), 'below if __name__ == "__main__":', id="a script"),
    pytest.param(("wrong.py:Misspelt", *ROW), "Misspelt has no forward; did you mean foward?", id="foward"),
    pytest.param(
        ("wrong.py:Two", *ROW), "forward takes (x, mask, *, scale=1.0): give an input for each", id="an input too few"
    ),
    pytest.param(
        ("wrong.py:Two", "--input", "x=1x8", "--input", "msk=1x8"), "; did you mean mask?", id="an input misspelt"
    ),
    pytest.param(("wrong.py:Parses", *ROW), "wrong.py:20: JSONDecodeError", id="an error below the user's own line"),
    pytest.param(("wrong.py:Nested", *ROW), """--inputs-json '{"batch": {"x": {"shape": [2, 16]}}}'""", id="a dict"),
    pytest.param(
        ("wrong.py:Nested", "--inputs-json", '{"batch": {"x": [2, 16]}}'),
        'in --inputs-json a tensor is {"shape": [2, 16]}',
        id="a list of sizes",
    ),
    pytest.param(("config.json", *IMAGE), "give it as hf:config.json", id="a configuration of Transformers"),
    pytest.param(("list.json", *IMAGE), "report file: expected a JSON object", id="other JSON, with an option"),
    pytest.param(("no.json", *IMAGE), "No such file or directory", id="no JSON, with an option"),
    pytest.param(("lenet5", "--sort", "parameters"), "did you mean params?", id="a column's other name"),
    pytest.param(("lenet5", "--sort", "calls", "--by", "op"), "no column named 'calls'", id="another view's column"),
    pytest.param(("lenet5", "--sort", "class"), "class has no sizes to sort by", id="a column of words"),
    pytest.param(("lenet5", "--top", "3", "--depth", "1"), "list layers or ops, not the tree", id="top of a tree"),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES)
def test_one_line_says_what_to_do(here, capfd, arguments, words):
    code, out, err = ran(capfd, "summarize", *arguments)

    *before, last = err.rstrip().splitlines()
    assert (code, out) == (2, "")
    assert words in last
    assert not [line for line in before if line.startswith(("cnncost: ", "Traceback"))]  # argparse says what it wants
    assert {path.name for path in here.iterdir()} - {"__pycache__"} == {*FILES}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(("--optimizer", "adamm"), "did you mean adam", id="an optimizer misspelt"),
        pytest.param(("--optimizer", "sgd:lr"), "expected NAME=VALUE", id="an optimizer's argument"),
    ],
)
def test_memory_refuses_before_the_work(capfd, monkeypatch, arguments, words):
    monkeypatch.setattr("cnncost.cli.memory.built_model", lambda *_: pytest.fail("work was begun"))
    code, out, err = ran(capfd, "memory", "lenet5", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err


FOLLOWED = [
    # what an error advised
    ("summarize", "net.py:Net", *IMAGE),
    ("summarize", "wrong.py:Two", *ROW, *ROW),
    ("summarize", "wrong.py:Two", "--input", "x=1x8", "--input", "mask=1x8"),
    ("memory", "wrong.py:frozen", *ROW, "--inference"),
    ("summarize", "wrong.py:Nested", "--inputs-json", '{"batch": {"x": {"shape": [2, 16]}}}'),
]


@pytest.mark.parametrize("arguments", FOLLOWED, ids=" ".join)
def test_what_is_advised_works(capfd, arguments):
    assert ran(capfd, *arguments)[0] == 0


def test_a_step_that_can_not_be_says_how_to_do_without(capfd):
    code, out, err = ran(capfd, "memory", "wrong.py:frozen", *ROW)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "leave training out (cnncost memory --inference)" in err


def test_why_forward_ran_on_values_is_a_whole_sentence(capfd):
    """Torch's own words, which are long, were cut in the middle of the next sentence."""
    _, out, _ = ran(capfd, "summarize", "wrong.py:Reads", *ROW)
    said = " ".join(out.split())
    assert said.endswith(
        "wrong.py:30: forward reads the values of a tensor (numpy() of a tensor with unallocated storage)"
    )
    _, out, _ = ran(capfd, "summarize", "wrong.py:Asks", *ROW)
    assert "forward reads the values of a tensor (aten.is_nonzero.default)" in " ".join(out.split())
