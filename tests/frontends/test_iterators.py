"""Forward reads iterators, counters and generators around it as copies, or the analysis says that it can't."""

import itertools
import sys

import pytest
import torch
from torch import nn

import cnncost
from cnncost.errors import ForwardError
from cnncost.frontends.torch import rebuilt
from cnncost.frontends.torch.iterators import _copy_nested, _position, copy_of

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
    """Runs its linear layer once per item of the iterator."""

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


CHAIN = itertools.chain(iter([1]), iter([2]), iter([3]))


class ByChain(Steps):
    def steps(self):
        return sum(CHAIN)


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
    "chain of iterators": lambda: itertools.chain(iter([1]), iter([2, 3])),
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
def test_iterators_within_a_chain_in_a_global_stand_where_they_stood(trace):
    for _ in range(2):
        assert cnncost.analyze(ByChain(), X, trace=trace).totals.macs == 6 * EACH


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


UNDER_WAY = {
    "count": lambda: itertools.count(3),
    "count of large integers": lambda: itertools.count(10**30, -7),
    "count of fractions": lambda: itertools.count(0.5, 0.25),
    "count by two": lambda: itertools.count(1, 2),
    "repeat": lambda: itertools.repeat("a"),
    "repeat a few times": lambda: itertools.repeat("a", 5),
    "chain": lambda: itertools.chain([1, 2], iter([3]), (4, 5)),
    "chain of what is never counted": lambda: itertools.chain.from_iterable(map(range, itertools.count())),
    "starmap": lambda: itertools.starmap(pow, [(2, 1), (2, 2), (2, 3), (2, 4)]),
    "filterfalse": lambda: itertools.filterfalse(lambda n: n % 2, range(9)),
    "filterfalse without a function": lambda: itertools.filterfalse(None, [0, 1, 0, (), 2, ""]),
    "cycle": lambda: itertools.cycle([1, 2, 3, 4, 5]),
    "cycle of a map": lambda: itertools.cycle(map(int, "12")),
}


@pytest.mark.parametrize("taken", [0, 1, 3])
@pytest.mark.parametrize("kind", UNDER_WAY)
def test_what_python_does_not_copy_is_rebuilt_where_it_stands(kind, taken, monkeypatch):
    """As on Python 3.14; the items are those of an iterator that was never touched."""
    monkeypatch.setattr(rebuilt, "_COPIED_BY_PYTHON", False)
    expected = list(itertools.islice(UNDER_WAY[kind](), taken, taken + 20))
    iterator = UNDER_WAY[kind]()
    list(itertools.islice(iterator, taken))
    before = rebuilt.state(iterator)
    copy = rebuilt.rebuilt(iterator, _copy_nested)
    if kind == "cycle of a map" and taken:
        assert copy is None  # there may be no end to it
    else:
        assert type(copy) is type(iterator)
        assert list(itertools.islice(copy, 20)) == expected
        assert rebuilt.state(iterator) == before
    assert list(itertools.islice(iterator, 20)) == expected


MOVED = {
    "count": itertools.count,
    "islice": lambda: itertools.islice(itertools.count(), 9),
    "accumulate": lambda: itertools.accumulate([1, 1, 1]),
    "takewhile": lambda: itertools.takewhile(bool, [1, 1, 1]),
    "pairwise": lambda: itertools.pairwise([1, 1, 1, 1]),
    "product": lambda: itertools.product([1, 1], [1, 1]),
    "combinations": lambda: itertools.combinations([1, 1, 1], 2),
    "zip_longest": lambda: itertools.zip_longest([1, 1], [1, 1]),
    "cycle in a later round": lambda: itertools.cycle([1, 1, 1]),
    "tee": lambda: itertools.tee([1, 1, 1])[0],
}


@pytest.mark.parametrize("kind", MOVED)
def test_a_step_of_what_can_not_be_rebuilt_is_seen(kind):
    """Equal items at each step: only the position tells."""
    iterator = MOVED[kind]()
    if kind == "cycle in a later round":
        list(itertools.islice(iterator, 4))
    then = _position(iterator)
    assert _position(iterator) == then
    next(iterator)
    assert _position(iterator) != then
    if sys.version_info >= (3, 14):
        assert copy_of(iterator) is None or kind == "count"


@TRACES
def test_what_can_not_be_rebuilt_is_an_error_if_forward_takes_from_it(trace):
    """A slice keeps its position to itself on Python 3.14; up to 3.13 it is copied."""
    model = Steps(itertools.islice([1, 2, 3], 3))
    if sys.version_info >= (3, 14):
        with pytest.raises(ForwardError, match="forward advanced the islice in an object, which can't be rewound"):
            cnncost.analyze(model, X, trace=trace)
    else:
        assert cnncost.analyze(model, X, trace=trace).totals.macs == EACH
        assert next(model.times) == 1
