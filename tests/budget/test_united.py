"""Two models as one tree: every module of both once, and rows that add up on both sides."""

import itertools

import pytest
from torch import nn

import cnncost
from cnncost import zoo
from cnncost.budget.snapshot import SUMMED
from cnncost.budget.united import united
from tests.samples import sample

PAIRS = sample([pair for i, pair in enumerate(itertools.permutations(zoo.names(), 2)) if i % 23 == 0], 12)
"""Related and unrelated networks of the zoo, one pair in 23."""
REPORTS = {}


def report(name):
    return REPORTS.setdefault(name, cnncost.analyze(name))


def diff(old, new):
    return cnncost.diff(report(old), report(new))


def below(rows):
    """For each row, those one level below it."""
    path, found = [], {}
    for i, row in enumerate(rows):
        del path[row.level :]
        if path:
            found.setdefault(path[-1], []).append(row)
        path.append(i)
    return found


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_every_module_of_both_is_there_once(old, new):
    found = diff(old, new)
    rows = [row for row in united(found) if not row.own]
    assert [row.new.path for row in rows if row.new] == [part.path for part in found.new.parts]
    assert sorted(row.old.path for row in rows if row.old) == sorted(part.path for part in found.old.parts)


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_rows_add_up_to_both_reports(old, new):
    rows = united(diff(old, new))
    for name in SUMMED:
        assert rows[0].before[name] == getattr(report(old).totals, name)
        assert rows[0].after[name] == getattr(report(new).totals, name)
    for i, inner in below(rows).items():
        for name in SUMMED:
            assert rows[i].before[name] == sum(row.before[name] for row in inner)
            assert rows[i].after[name] == sum(row.after[name] for row in inner)


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_what_changed_is_what_the_difference_lists(old, new):
    found = diff(old, new)
    rows = [row for row in united(found) if row.state in {"changed", "added", "removed"} and not row.own]
    told = {(row.state, row.old and row.old.path, row.new and row.new.path) for row in rows}
    assert told == {(c.kind, c.old and c.old.path, c.new and c.new.path) for c in found.changes}


def names(rows):
    return [(row.level, row.name or "(own)", row.state) for row in rows]


def linear(*widths):
    return nn.Sequential(*(nn.Linear(a, b) for a, b in itertools.pairwise(widths)))


TREES = [
    pytest.param(linear(4, 4, 4), linear(4, 4, 4), [(0, "Sequential", "same"), (1, "0", "same"), (1, "1", "same")],
                 id="the same"),
    pytest.param(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), linear(4, 4, 2),
                 [(0, "Sequential", "inside"), (1, "0", "same"), (1, "1", "removed"), (1, "1", "same")],
                 id="what is removed stands where it stood"),
    pytest.param(nn.Sequential(nn.ReLU(), nn.Linear(4, 4)), nn.Sequential(nn.Linear(4, 4)),
                 [(0, "Sequential", "inside"), (1, "0", "removed"), (1, "0", "same")], id="the first is removed"),
    pytest.param(linear(4, 4), linear(4, 8), [(0, "Sequential", "inside"), (1, "0", "changed")], id="a wider layer"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), TREES)
def test_by_hand(old, new, expected):
    assert names(united(cnncost.diff(old, new, "1x4"))) == expected


class Wrapped(nn.Module):
    """A network within another."""

    def __init__(self):
        super().__init__()
        self.body, self.head = linear(4, 4, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.body(x))


@pytest.mark.parametrize("turned", [False, True])
def test_a_model_that_wraps_the_other(turned):
    sides = (Wrapped(), linear(4, 4, 4)) if turned else (linear(4, 4, 4), Wrapped())
    rows = united(cnncost.diff(*sides, "1x4"))
    params = (2 * (4 * 4 + 4), 2 * (4 * 4 + 4) + 4 * 2 + 2)
    assert (rows[0].before["params"], rows[0].after["params"]) == (params[::-1] if turned else params)
    states = {row.name: row.state for row in rows}
    assert states["head"] == ("removed" if turned else "added")
    assert rows[0].name == ("Wrapped → Sequential" if turned else "Sequential → Wrapped")
