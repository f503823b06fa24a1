"""Figures that depend on values or chance are marked by the commands that set models side by side, too."""

import json

import pytest

import cnncost
from tests.cli.calls import ran

NET = """
import random
import torch
from torch import nn


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x):
        return self.layer(x)


class Drawn(Plain):
    def forward(self, x):
        return self.layer(x) if random.random() > 0.5 else self.layer(self.layer(x))


class Reads(Plain):
    def forward(self, x):
        return self.layer(x) if x.sum() > 0 else self.layer(self.layer(x))


class DrawnInTraining(Plain):
    def forward(self, x):
        return self.layer(x) if not self.training or random.random() > 0.5 else self.layer(self.layer(x))
"""
MARKS = {"Drawn": "run on one draw of", "Reads": "run on", "Plain": None, "DrawnInTraining": None}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)


@pytest.mark.parametrize("name", MARKS)
def test_compare_and_diff_say_it(capfd, name):
    given = ("--input", "2x8", "--trace", "auto")
    for command in (("compare", f"net.py:{name}"), ("diff", "net.py:Plain", f"net.py:{name}")):
        code, out, _ = ran(capfd, *command, *given)
        assert code == 0
        assert (f"net.py:{name}: {MARKS[name]}" in " ".join(out.split())) == (MARKS[name] is not None)
    code, out, _ = ran(capfd, "compare", f"net.py:{name}", *given, "--format", "json")
    (row,) = json.loads(out)["models"]
    assert [text.startswith(MARKS[name] or "-") for text in row["depends_on"]] == [True] * (MARKS[name] is not None)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", MARKS)
def test_check_says_it(capfd, here, tmp_path, name, training):
    limit = "training_peak" if training else "inference_peak"
    (tmp_path / "cnncost.toml").write_text(
        f'[[budget]]\nmodel = "net.py:{name}"\ninput = "2x8"\ntrace = "auto"\n{limit} = "<= 1GB"\n'
    )
    code, out, _ = ran(capfd, "check", "--jobs", "1")
    said = MARKS[name] or ("the training step is of one draw of" if training and name == "DrawnInTraining" else None)
    assert code == 0
    assert ("figures of one run" in out) == (said is not None)
    assert said is None or f"net.py:{name}: {said}" in " ".join(out.split())
    code, out, _ = ran(capfd, "check", "--jobs", "1", "--format", "json")
    (model,) = json.loads(out)["models"]
    assert [text.startswith(said or "-") for text in model["depends_on"]] == [True] * (said is not None)


def test_a_report_has_it():
    from torch import nn

    assert cnncost.analyze(nn.Linear(8, 8), (2, 8), training=True).depends_on == ()
    report = cnncost.analyze("net.py:DrawnInTraining", "2x8", training=True)
    assert [text.partition(" one")[0] for text in report.depends_on] == ["the training step is of"]


def test_a_sweep_has_it_in_its_notes():
    frame = cnncost.sweep("net.py:DrawnInTraining", {"input": "2x8", "columns": "training_peak"}, jobs=1)
    assert frame["note"].str.contains("the training step is of one draw of").tolist() == [True]
