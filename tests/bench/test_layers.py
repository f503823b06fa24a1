"""Time by module call, with hand-made marks."""

import pytest
import torch
from torch import nn

import cnncost
from cnncost.bench.backend import Cpu
from cnncost.bench.layers import exclusive, recording


class At(int):
    """A mark at a time in seconds."""

    def until(self, later):
        return int(later) - int(self)


def events(text):
    """`<0 a<1 a>4 >9`: module "a" runs from 1 to 4 inside the model, which runs from 0 to 9."""
    found = []
    for word in text.split():
        sign = "<" if "<" in word else ">"
        path, _, at = word.partition(sign)
        found.append((path, sign == "<", At(at)))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("<0 >9", {("", 1): 9}, id="the model alone"),
        pytest.param("<0 a<1 a>4 >9", {("a", 1): 3, ("", 1): 6}, id="what a child takes is not the parent's"),
        pytest.param(
            "<0 a<1 a.b<2 a.b>4 a>5 c<6 c>8 >9", {("a.b", 1): 2, ("a", 1): 2, ("c", 1): 2, ("", 1): 3}, id="nested"
        ),
        pytest.param("<0 a<1 a>3 a<4 a>5 >9", {("a", 1): 2, ("a", 2): 1, ("", 1): 6}, id="a second call is its own"),
        pytest.param("<0 a<1 a<2 a>3 a>5 >6", {("a", 2): 1, ("a", 1): 3, ("", 1): 2}, id="recursion"),
        pytest.param(
            "<0 a<1 a>3 a<4 a>5 a#2<5 a#2>9 >9",
            {("a", 1): 2, ("a", 2): 1, ("a#2", 1): 4, ("", 1): 2},
            id="a module named as another's second call",
        ),
        pytest.param("", {}, id="nothing ran"),
    ],
)
def test_exclusive_seconds(text, expected):
    found = exclusive(events(text))
    assert found == expected


def test_exclusive_seconds_add_up_to_the_whole():
    found = exclusive(events("<0 a<1 a.b<2 a.b>4 a>5 c<6 c>8 >9"))
    assert sum(found.values()) == 9


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.shared = nn.Linear(4, 4)
        self.body = nn.Sequential(nn.ReLU(), nn.Linear(4, 2))

    def forward(self, x):
        return self.body(self.shared(self.shared(x)))


def test_calls_are_those_of_the_analysis():
    model = Twice()
    with recording(model, Cpu()) as recorder:
        for _ in range(3):
            model(torch.randn(2, 4))
            recorder.end_run()
    report = cnncost.analyze(model, (2, 4))
    calls = {("shared", 1), ("shared", 2), ("body.0", 1), ("body.1", 1)}
    assert {(row.path, row.call) for row in report.layers} == calls
    assert set(recorder.medians()) == {("", 1), ("body", 1), *calls}  # containers run no op, but take time
    assert len(recorder.totals()) == 3
    assert all(seconds > 0 for seconds in recorder.totals())


def test_the_model_keeps_no_hook_even_if_forward_raises():
    model = Twice()
    with pytest.raises(RuntimeError), recording(model, Cpu()):
        model(torch.randn(2, 3))
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
