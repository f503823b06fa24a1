"""What is remembered between analyses: counted, bounded, emptied, and without influence on any figure."""

import gc
import weakref

import pytest
import torch
from torch import nn

import cnncost
from cnncost.session import SESSION, Session

torch.set_num_threads(1)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        return self.fc(nn.functional.interpolate(torch.relu(self.norm(self.conv(x))), (9, 7)).mean((2, 3)))


@pytest.fixture
def limit():
    """Set the limit, and put it back."""
    before = SESSION.limit
    yield lambda number: setattr(SESSION, "limit", number)
    SESSION.limit = before
    SESSION.clear()


def figures(model, shape, training):
    report = cnncost.analyze(model, shape, training=training).with_receptive_fields()
    return report.graph, report.training, report.to_json()


def worlds():
    nets = [Net(), nn.Sequential(nn.Conv2d(3, 4, 5, stride=2), nn.MaxPool2d(2)), nn.Conv2d(3, 2, 1)]
    return [(net, (1, 3, side, side), training) for side in (12, 16) for net in nets for training in (False, True)]


def test_figures_are_the_same_whether_caches_are_kept_emptied_or_always_full(limit):
    runs = worlds()
    expected = [figures(*run) for run in runs]
    limit(0)
    assert [figures(*run) for run in runs] == expected
    limit(None)
    for run, found in zip(runs, expected, strict=True):
        assert figures(*run) == found
        cnncost.clear_caches()
        assert figures(*run) == found


def test_caches_are_emptied():
    for run in worlds():
        figures(*run)
    used = {name for name, count in SESSION.entries().items() if count}
    assert {"memo", "costs", "reaches", "signatures", "tensor types", "windows, _sliding"} <= used
    cnncost.clear_caches()
    assert set(SESSION.entries().values()) == {0}


def test_caches_stay_below_the_limit(limit):
    cnncost.clear_caches()
    cnncost.analyze(Net(), (1, 3, 10, 10))
    one = sum(SESSION.entries().values())
    limit(3 * one)
    most = 0
    for side in range(11, 60):
        cnncost.analyze(Net(), (1, 3, side, side))
        most = max(most, sum(SESSION.entries().values()))
    assert most <= 3 * one + one + 8  # the analysis that goes over the limit is the last before they are emptied


class Nested(nn.Module):
    """Measures a part of itself in the middle of forward."""

    def __init__(self):
        super().__init__()
        self.part, self.rest = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        cnncost.analyze(nn.Linear(7, 3), (5, 7))
        return self.rest(self.part(x))


def test_an_analysis_within_another_empties_nothing_of_it(limit):
    limit(0)
    assert cnncost.analyze(Nested(), (2, 4)).totals.macs == 2 * (4 * 4 + 4 * 2)


def test_no_model_is_kept_alive():
    model = Net()
    for _ in range(3):
        cnncost.analyze(model, (1, 3, 12, 12))
    known = weakref.ref(model)
    del model
    gc.collect()
    assert known() is None


def test_a_session_of_ones_own():
    session, table = Session(limit=2), {1: 1, 2: 2}
    session.own_table("a table", table)
    session.trim()
    assert session.entries() == {"a table": 2}
    table[3] = 3
    session.trim()
    assert session.entries() == {"a table": 0}
