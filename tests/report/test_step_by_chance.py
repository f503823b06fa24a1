"""A training step whose layers are drawn is marked where forward, in eval mode, draws nothing."""

import random

import pytest
import torch
from torch import nn

import cnncost
from cnncost.errors import DataDependentError
from tests.cli.calls import ran


class Dropped(nn.Module):
    """Layers dropped in train mode alone, as in LayerDrop and stochastic depth."""

    def __init__(self, draw):
        super().__init__()
        self.first = nn.Linear(8, 8)  # always runs: without any layer there is no backward
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.draw = draw

    def forward(self, x):
        x = self.first(x)
        for layer in self.layers:
            if not self.training or self.draw() > 0.5:
                x = layer(x)
        return x


class Always(nn.Module):
    """Draws in eval mode, too."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x):
        twice = random.random() < 0.5  # noqa: S311  # no secret: a model's own chance
        return self.layer(self.layer(x)) if twice else self.layer(x)


def by_torch():
    return torch.rand([]).item()


FILE = """
import random
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x):
        return self.layer(x) if not self.training or random.random() > 0.5 else self.layer(self.layer(x))
"""


@pytest.mark.parametrize("draw", [random.random, by_torch])
def test_the_step_is_marked_and_forward_is_not(draw, tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    report = cnncost.analyze("net.py:Net", "2x8", training=True)
    assert report.run_on == ""
    assert [note for note in report.notes if "the training step is of one draw of" in note]
    assert "one draw of" in report.to_markdown()
    own = cnncost.analyze(Dropped(draw).train(), (2, 8), training=True)
    assert "one draw of" in own.run_on


def test_forward_that_draws_is_marked_once():
    report = cnncost.analyze(Always(), (2, 8), training=True)
    assert "one draw of" in report.run_on
    assert not [note for note in report.notes if "one draw of" in note]


def test_a_step_that_draws_nothing_has_no_note():
    assert cnncost.analyze(nn.Linear(8, 8), (2, 8), training=True).notes == ()


def test_memory_says_it(tmp_path, monkeypatch, capsys):
    (tmp_path / "net.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    code, out, _ = ran(capsys, "memory", "net.py:Net", "--input", "2x8")
    assert code == 0
    assert "the training step is of one draw of" in " ".join(out.split())
    code, out, _ = ran(capsys, "memory", "net.py:Net", "--input", "2x8", "--inference")
    assert "draw" not in out


def test_strict_refuses_it(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    cnncost.analyze("net.py:Net", "2x8", strict=True)
    with pytest.raises(DataDependentError, match="random numbers decide which ops the training step runs"):
        cnncost.analyze("net.py:Net", "2x8", strict=True, training=True)
