"""What forward takes from iterators, counters and generators around it comes from copies, or the analysis says so."""

import itertools

import pytest
import torch
from torch import nn

import cnncost
from cnncost.errors import ForwardError

EACH = 2 * 8 * 8
X = torch.randn(2, 8)
TRACES = pytest.mark.parametrize("trace", ["static", "real"])

COUNTER = itertools.count(1)
TABLE = {"counter": itertools.count(1)}
SHARED = itertools.count(1)


def started():
    """Under way, with the same locals at each step."""
    numbers = (1 for _ in range(99))
    next(numbers)
    return numbers


def forever():
    number = 0
    while True:
        number += 1
        yield number


class Steps(nn.Module):
    """As many products as the iterator says."""

    def __init__(self, times=None):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.times = times

    def steps(self):
        return next(self.times)

    def forward(self, x):
        for _ in range(self.steps()):
            x = self.linear(x)
        return x


class ByGlobal(Steps):
    def steps(self):
        return next(COUNTER)


class ByBoth(Steps):
    def steps(self):
        return next(SHARED) + next(self.times)  # 1 + 2 of one counter


class ByTable(Steps):
    def steps(self):
        return next(TABLE["counter"])


KINDS = {
    "count": lambda: itertools.count(1),
    "list": lambda: iter([1, 2, 3, 4]),
    "tuple": lambda: iter((1, 2, 3, 4)),
    "range": lambda: iter(range(1, 5)),
    "cycle": lambda: itertools.cycle([1, 2, 3, 4]),
    "map of a list": lambda: map(int, iter([1, 2, 3, 4])),
    "chain": lambda: itertools.chain([1], [2, 3]),
    "reversed": lambda: reversed([3, 2, 1]),
}


@TRACES
@pytest.mark.parametrize("kind", KINDS)
def test_the_users_iterator_stands_where_it_stood(kind, trace):
    iterator = KINDS[kind]()
    model = Steps(iterator)
    for _ in range(3):
        assert cnncost.analyze(model, X, trace=trace).totals.macs == EACH
    assert next(iterator) == 1
    assert cnncost.analyze(model, X, trace=trace).totals.macs == 2 * EACH


@TRACES
def test_so_does_a_counter_in_a_global_and_one_that_is_known_twice(trace):
    for _ in range(2):
        assert cnncost.analyze(ByGlobal(), X, trace=trace).totals.macs == EACH
        assert cnncost.analyze(ByBoth(SHARED), X, trace=trace).totals.macs == 3 * EACH
    assert (repr(COUNTER), repr(SHARED)) == ("count(1)", "count(1)")


@TRACES
@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Steps(forever()), "the generator forever in an object"),
        (lambda: Steps(n for n in [1, 2]), "the generator <genexpr> in an object"),
        (ByTable, "the count in the global TABLE of"),
        (lambda: Steps(started()), "the generator <genexpr> in an object"),
        (lambda: Steps(map(int, forever())), "the generator forever in an object"),
    ],
    ids=["generator", "generator expression", "counter in a table", "a loop in a generator", "map of a generator"],
)
def test_what_can_not_be_put_back_is_an_error_that_names_it(make, named, trace):
    with pytest.raises(ForwardError, match="can't be rewound") as error:
        cnncost.analyze(make(), X, trace=trace)
    assert named in str(error.value)


def test_the_advice_works():
    def forward(s, x):
        for _ in range(next(forever())):
            x = s.linear(x)
        return x

    assert cnncost.analyze(type("Within", (Steps,), {"forward": forward})(), X).totals.macs == EACH


LOOKED_AT = {
    "items": iter({1: 1}), "set": iter({1}), "range": [iter(range(3))], "cycle": itertools.cycle([1]),
    "tee": itertools.tee([1, 2]), "pairs": itertools.pairwise([1, 2]), "view": iter(memoryview(b"a")),
}  # fmt: skip


class Looks(Steps):
    def steps(self):
        return len(LOOKED_AT) // len(LOOKED_AT)


@TRACES
def test_iterators_that_forward_only_looks_at_are_no_error(trace):
    assert cnncost.analyze(Looks(), X, trace=trace).totals.macs == EACH


ZIPPED, NUMBERED = zip([1, 2], [3, 4], strict=True), enumerate([5, 6, 7])


class Within(Steps):
    """Iterators that hold iterators."""

    def steps(self):
        return next(ZIPPED)[0] + next(NUMBERED)[0]


@TRACES
def test_iterators_within_a_global_iterator_are_copied_as_well(trace):
    for _ in range(2):
        assert cnncost.analyze(Within(), X, trace=trace).totals.macs == EACH
    assert (ZIPPED.__reduce__()[1][0].__reduce__()[2], NUMBERED.__reduce__()[1][1]) == (0, 0)  # where they stood


class Reader(Steps):
    """Holds a generator that forward does not touch."""

    def steps(self):
        return 1


def test_a_generator_that_forward_does_not_ask_is_no_error():
    held = forever()
    assert next(held) == 1
    assert cnncost.analyze(Reader(held), X).totals.macs == EACH
    assert next(held) == 2
