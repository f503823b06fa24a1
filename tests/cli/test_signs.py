"""Every command: a table's sign has a sentence that explains it, and no sentence explains one that no table has."""

import pytest
import torch
from torch import nn

import cnncost
from cnncost.render.formats import FORMATS
from tests.cli.calls import ran
from tests.report.signs import explained, shown

NETS = """
import torch
from torch import nn
from torch.nn import functional as F


class Known(nn.Module):
    def __init__(self, width=4, unknown=False, data=False, blind=False):
        super().__init__()
        self.a = nn.Linear(4, width)
        self.b = nn.Linear(width, 4)
        self.unknown, self.data, self.blind = unknown, data, blind

    def forward(self, x):
        y = self.b(self.a(x))
        if self.data:
            q = y[None, None]
            y = F.scaled_dot_product_attention(q, q, q, q[0, 0, :, :2] > 0)[0, 0]
        return torch.matrix_exp(y.T @ y) if self.unknown else y


class Keeps(nn.Module):
    unknown = False

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(4, 4)

    def step(self, x, cache):
        seen = x if cache is None else torch.cat([cache, x], 1)
        y = self.mix(seen)
        return torch.matrix_exp(y.mT @ y).sum(1) if self.unknown else y.sum(1), seen


class KeepsUnknown(Keeps):
    unknown = True


def unknown(width=4):
    return Known(width, unknown=True)


def masked(unknown=False):
    return Known(unknown=unknown, data=True)
"""
LIMITS = '[[budget]]\nname = "net"\nmodel = "nets.py:{model}"\ninput = "2x4"\n{limit}\nallow_unknown = true\n'
INPUT = ("--input", "2x4")
CASES = [
    pytest.param(("summarize", "nets.py:Known", *INPUT), "", id="summarize"),
    pytest.param(("summarize", "nets.py:unknown", *INPUT), "≥", id="summarize, an op without a rule"),
    pytest.param(("summarize", "nets.py:masked", *INPUT, "--columns", "+masks"), "≤", id="summarize, an unknown mask"),
    pytest.param(("compare", "nets.py:Known", "nets.py:unknown", *INPUT), "≥", id="compare"),
    pytest.param(("compare", "nets.py:Known", "nets.py:Known", *INPUT), "", id="compare, all known"),
    pytest.param(("diff", "nets.py:Known", "nets.py:unknown", *INPUT), "≥~", id="diff, an op on one side"),
    pytest.param(("diff", "nets.py:unknown", "nets.py:unknown", *INPUT), "≥~", id="diff, on both sides"),
    pytest.param(("diff", "lenet1", "lenet5"), "", id="diff, all known"),
    pytest.param(("sweep", "nets.py:unknown", "--input", "2x4", "--batch", "1,2", "--jobs", "1"), "≥", id="sweep"),
    pytest.param(("sweep", "nets.py:Known", *INPUT, "--batch", "1,2", "--jobs", "1"), "", id="sweep, all known"),
    pytest.param(
        ("sweep", "nets.py:unknown", *INPUT, "--batch", "1,2", "--jobs", "1", "--columns", "params"), "",
        id="sweep, of what is known",
    ),
    pytest.param(("serve", "nets.py:Keeps", "--input", "1x1x4", "--context", "6"), "", id="serve"),
    pytest.param(
        ("serve", "nets.py:KeepsUnknown", "--input", "1x1x4", "--context", "6"), "≥", id="serve, an op without a rule",
    ),
    pytest.param(("check", "macs = 1_000_000"), "≥≤", id="check, a sum"),
    pytest.param(("check", 'arithmetic_intensity = ">= 0.001"'), "~", id="check, a ratio"),
    pytest.param(("check", "params = 1_000_000"), "", id="check, of what is known"),
    pytest.param(("roofline", "nets.py:unknown", *INPUT, "--device", "h100"), "≥≤~", id="roofline"),
    pytest.param(("roofline", "nets.py:Known", *INPUT, "--device", "h100"), "", id="roofline, all known"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "signs"), CASES)
@pytest.mark.parametrize("form", ["markdown", "html", "latex"])
def test_signs_are_explained_where_they_are_shown(words, signs, form, tmp_path, monkeypatch, capfd):
    assert FORMATS[form].tree
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETS)
    command, *arguments = words
    if command == "check":
        (tmp_path / "cnncost.toml").write_text(LIMITS.format(model="unknown", limit=arguments.pop()))
    code, out, err = ran(capfd, command, *arguments, "--format", form)
    assert code == 0, err
    found = shown(out, form)
    assert explained(out, form) == found, out
    assert found == {*signs} or (form == "html" and command == "summarize" and found >= {*signs}), (
        "a page has all views"
    )


class OnTwo(nn.Module):
    """A linear layer on each of two devices; the second's output goes through an op that no rule counts."""

    def __init__(self, unknown):
        super().__init__()
        self.a, self.b, self.unknown = nn.Linear(4, 4, device="cuda:0"), nn.Linear(4, 4, device="cuda:1"), unknown

    def forward(self, x):
        y = self.b(self.a(x.to("cuda:0")).to("cuda:1"))
        return torch.matrix_exp(y.T @ y) if self.unknown else y


@pytest.mark.parametrize("unknown", [False, True])
def test_a_models_devices(unknown):
    with cnncost.placement():
        model = OnTwo(unknown)
    text = cnncost.analyze(model, (2, 4)).to_markdown()
    assert explained(text, "markdown") == shown(text, "markdown") == ({"≥"} if unknown else set())
