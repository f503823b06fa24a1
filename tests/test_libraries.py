"""The run over other people's libraries tells what is right from what is not, on models made for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

HERE = Path(__file__).parent
for folder in (HERE, HERE / "conformance"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))

import library_work as work  # noqa: E402  # a script's neighbours: they are no package
from library_cases.case import Case  # noqa: E402
from library_report import page, verdict  # noqa: E402

import cnncost  # noqa: E402


class Said(nn.Module):
    """Two products, of 2·8·8 MACs each, or one."""

    def __init__(self, twice: bool = True) -> None:
        super().__init__()
        self.lin, self.twice, self.kept = nn.Linear(8, 8), twice, {}

    def forward(self, x, scale=1.0):
        x = self.lin(x)
        return scale * (self.lin(x) if self.twice else x)


def _row(case: Case) -> dict:
    return {"library": "own", "model": "Said", **work.measured(lambda: case)}


def test_a_plain_model_is_equal():
    row = _row(Case(Said(), (torch.rand(2, 8),), {"scale": 2.0}))
    assert verdict(row) == ("equal", "")
    assert (row["real_params"], row["real_macs"], row["torch_macs"]) == (8 * 8 + 8, 2 * 2 * 8 * 8, 2 * 2 * 8 * 8)
    assert row["trace"] == "static"


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (lambda m: m.kept.update(x=torch.empty(1, device="meta")), "changed"),
        (lambda m: m.train(), "changed"),
        (lambda m: m.lin.weight.data.zero_(), "changed"),
        (lambda m: setattr(m, "twice", False), "changed"),
        (lambda _: 1 / 0, "refused"),
        (lambda _: None, "equal"),
    ],
)
def test_what_an_analysis_does_is_seen(damage, kind, monkeypatch):
    model, analyze = Said(), cnncost.analyze

    def harmful(*args, **kwargs):
        damage(model)
        return analyze(*args, **kwargs)

    monkeypatch.setattr(cnncost, "analyze", harmful)
    assert verdict(_row(Case(model, (torch.rand(2, 8),))))[0] == kind


def test_another_count_is_unexplained_unless_there_is_a_reason(monkeypatch):
    analyze, other = cnncost.analyze, Said(twice=False)
    monkeypatch.setattr(cnncost, "analyze", lambda _, *args, **kwargs: analyze(other, *args, **kwargs))
    row = _row(Case(Said(), (torch.rand(2, 8),)))
    assert verdict(row)[0] == "unexplained"
    assert "128 MACs (linear 128) for 256 (addmm 256)" in verdict(row)[1]
    assert verdict({**row, "why": "it was drawn"})[0] == "explained"
    assert verdict({**row, "real_params": 1, "why": "it was drawn"})[0] == "unexplained"


def test_a_models_own_failure_is_no_finding():
    assert verdict(_row(Case(Said(), (torch.rand(2, 7),))))[0] == "not run"
    assert verdict({"library": "own", "model": "", **work.measured(lambda: 1 / 0)})[0] == "not run"


def test_the_page_says_all_of_it():
    good = _row(Case(Said(), (torch.rand(2, 8),)))
    bad = {**good, "model": "Bad", "real_macs": 1}
    gone = {"library": "other", "model": "Gone", "died": "not done in 1 s"}
    text = page([good, bad, gone], {"own": "1.0"}, "By hand.")
    assert "| own 1.0 | 2 | 1 |  |  | 1 |  |  |  | 2 | 1 |" in text
    assert "| **all** | 3 | 1 |  |  | 1 |  | 1 |  | 2 | 1 |" in text
    assert "- own, Bad: first: 256 MACs" in text
    assert "- other, Gone: not done in 1 s" in text
