"""`cnncost serve`: what it shows, and one clear line where something is wrong."""

import json

import pytest

from cnncost.errors import CnncostError
from tests.cli.calls import ran

NET = """
import torch
from torch import nn


class Keeps(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.mix = nn.Linear(width, width)

    def step(self, x, cache):
        print("a word of the model's own")
        seen = x if cache is None else torch.cat([cache, x], 1)
        return self.mix(seen).sum(1), seen


class Stateless(Keeps):
    def step(self, x, cache):
        return self.mix(x)


class Fails(Keeps):
    def step(self, x, cache):
        raise ValueError("no such luck")


class Plain(nn.Module):
    def forward(self, x):
        return x
"""
KEEPS = ("net.py:Keeps", "--input", "1x1x4")


@pytest.fixture(autouse=True)
def net(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)


def test_json_by_hand(capfd):
    """The layer computes all tokens again: 16 products a token; the cache is 4 numbers of 4 bytes a token."""
    code, out, err = ran(
        capfd, "serve", *KEEPS, "--context", "10", "--batch", "2", "--new-tokens", "5", "--format", "json"
    )
    found = json.loads(out)
    assert code == 0
    assert "a word of the model's own" in err
    assert [(call["call"], call["tokens"], call["macs"]) for call in found["calls"]] == [
        ("prefill", 10, 2 * 10 * 16), ("decode after 10", 1, 2 * 11 * 16), ("decode after 14", 1, 2 * 15 * 16),
    ]  # fmt: skip
    assert found["cache"] == {
        "bytes": 160, "bytes_per_token": 16, "growing": 160, "constant": 0, "kept_alive": 160, "all_sequences": 320,
    }  # fmt: skip
    assert found["courses"]["macs"] == {"coefficients": ["32", "32"], "from": 2, "to": 10, "checked": [2, 5]}


def test_text_says_where_a_law_holds_and_what_a_device_does(capsys):
    code, out, _ = ran(
        capsys, "serve", *KEEPS, "--context", "12", "--chunk", "5", "--device", "h100", "--model-args", "width=4"
    )
    assert code == 0
    assert "MACs of a decode step = 16 + 16·context" in " ".join(out.split())
    assert [line.split()[:3] for line in out.splitlines() if line.startswith("prefill")] == [
        ["prefill", "to", "5"], ["prefill", "to", "10"], ["prefill", "to", "12"],
    ]  # fmt: skip
    assert "on NVIDIA H100" in out
    assert "time to the first token" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(KEEPS, "Missing option '--context'", id="no context"),
        pytest.param((*KEEPS, "--context", "0"), "--context", id="a context of nothing"),
        pytest.param((*KEEPS, "--context", "8", "--batch", "0"), "--batch", id="no sequence"),
        pytest.param((*KEEPS, "--context", "8", "--fit"), "expected a device whose memory is known", id="no device"),
        pytest.param((*KEEPS, "--context", "8", "--device", "h1000"), "h100", id="an unknown device"),
        pytest.param((*KEEPS, "--context", "8", "--dtype", "int8"), "floating-point", id="a dtype of whole numbers"),
        pytest.param((*KEEPS, "--context", "8", "--dtype", "bf61"), "bf61", id="no dtype"),
        pytest.param(("net.py:Plain", "--context", "8"), "expected a method step", id="no step"),
        pytest.param(("lenet5", "--context", "8"), "LeNet5 can't be served", id="a network of the zoo"),
        pytest.param(("net.py:Stateless", *KEEPS[1:], "--context", "8"), "outputs and the cache", id="no cache"),
        pytest.param(("net.py:Fails", "--input", "1x1x4", "--context", "8"), "no such luck", id="a step that fails"),
        pytest.param(("net.py:Keeps", "--input", "4", "--context", "8"), "first two axes", id="no axis of tokens"),
        pytest.param(("net.py:Nope", "--context", "8"), "Nope", id="no such class"),
        pytest.param(("nope.py:Keeps", "--context", "8"), "nope.py", id="no such file"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_2(capsys, tmp_path, arguments, said):
    code, out, err = ran(capsys, "serve", *arguments, "-o", "found.md")
    assert code == 2
    assert out == ""
    assert said in err
    assert "Traceback" not in err
    assert not (tmp_path / "found.md").exists()


def test_errors_are_of_the_project():
    import cnncost

    with pytest.raises(CnncostError, match="expected a whole number"):
        cnncost.serving("lenet5", context="8")
