"""What forward takes from files, buffers and generators around a model: each analysis finds it where it was."""

import argparse
import array
import collections
import configparser
import ctypes
import io
import mmap
import multiprocessing
import queue
from contextlib import ExitStack

import numpy as np
import pytest
from torch import nn

import cnncost
from cnncost.errors import ForwardError

EACH = 8 * 8
"""MACs of one call of the layer."""


class Steps(nn.Module):
    """As many products as a function takes from an object."""

    def __init__(self, held, take):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.held, self.take = held, take

    def state(self):
        return self.held

    def forward(self, x):
        for _ in range(self.take(self.state())):
            x = self.linear(x)
        return x


HELD = {}


class ByGlobal(Steps):
    def __init__(self, held, take):
        super().__init__(None, take)
        HELD["state"] = held

    def state(self):
        return HELD["state"]


def numbers(folder):
    path = folder / "numbers"
    path.write_text("1\n2\n3\n4\n")
    return path


def mapped(folder):
    found = mmap.mmap(-1, 16)
    found[0] = 1
    return found


def configuration(folder):
    found = configparser.ConfigParser()
    found.read_string("[a]\nsteps = 1\n")
    return found


def first_and_more(values):
    values[0] += 1
    return values[0] - 1


def entry(table):
    table["steps"] += 1
    return table["steps"] - 1


def attribute(holder):
    holder.steps += 1
    return holder.steps - 1


def option(sections):
    steps = sections["a"].getint("steps")
    sections["a"]["steps"] = str(steps + 1)
    return steps


def shared(value):
    value.value += 1
    return value.value - 1


def appended(text):
    text.write("x")
    return len(text.getvalue())


KINDS = {
    "text file, iterated": (lambda f: numbers(f).open(), lambda file: int(next(file))),
    "text file, lines": (lambda f: numbers(f).open(), lambda file: int(file.readline())),
    "binary file": (lambda f: numbers(f).open("rb"), lambda file: int(file.readline())),
    "unbuffered file": (lambda f: numbers(f).open("rb", buffering=0), lambda file: file.read(1)[0] - 48),
    "BytesIO": (lambda f: io.BytesIO(b"\1\2\3"), lambda file: file.read(1)[0]),
    "StringIO": (lambda f: io.StringIO("1\n2\n3\n"), lambda file: int(file.readline())),
    "StringIO, written": (lambda f: io.StringIO(), appended),
    "bytearray": (lambda f: bytearray(b"\1"), first_and_more),
    "array": (lambda f: array.array("i", [1, 2]), first_and_more),
    "mmap": (mapped, first_and_more),
    "memoryview": (lambda f: memoryview(bytearray(b"\1\2")), first_and_more),
    "ctypes array": (lambda f: (ctypes.c_int * 2)(1, 2), first_and_more),
    "ctypes integer": (lambda f: ctypes.c_int(1), shared),
    "shared value": (lambda f: multiprocessing.Value("i", 1), shared),
    "RandomState": (lambda f: np.random.RandomState(0), lambda random: 1 + random.randint(0, 1 << 30) % 8),
    "Generator": (lambda f: np.random.default_rng(0), lambda random: 1 + int(random.integers(1 << 30)) % 8),
    "Philox": (
        lambda f: np.random.Generator(np.random.Philox(0)),
        lambda random: 1 + int(random.integers(1 << 30)) % 8,
    ),
    "bit generator": (lambda f: np.random.PCG64(0), lambda random: 1 + int(random.random_raw()) % 8),
    "ChainMap": (lambda f: collections.ChainMap({"steps": 1}), entry),
    "Namespace": (lambda f: argparse.Namespace(steps=1), attribute),
    "ConfigParser": (configuration, option),
}


@pytest.fixture
def closed():
    """Closes what is passed to it after the test, if it can be."""
    with ExitStack() as stack:

        def later(held):
            if hasattr(held, "close"):
                stack.callback(held.close)
            return held

        yield later


@pytest.mark.parametrize("network", [Steps, ByGlobal], ids=["in an attribute", "in a global"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_analysis_finds_it_where_it_was(kind, network, tmp_path, closed):
    make, take = KINDS[kind]
    expected = [take(held) for held in [closed(make(tmp_path))] for _ in range(2)]
    assert expected[0] != expected[1]
    held = closed(make(tmp_path))
    model = network(held, take)
    for _ in range(3):
        assert cnncost.analyze(model, "1x8").totals.macs == expected[0] * EACH
    assert [take(held), take(held)] == expected


@pytest.mark.parametrize("network", [Steps, ByGlobal], ids=["in an attribute", "in a global"])
def test_a_generator_that_is_under_way_stays_there(network):
    held = np.random.RandomState(0)
    held.normal()  # keeps the second of two numbers for the next call
    expected = np.random.RandomState(0).normal(size=2)[1]
    cnncost.analyze(network(held, lambda random: 1 + int(random.normal() > 9)), "1x8")
    assert held.normal() == expected


def iterated(folder):
    file = numbers(folder).open()
    next(file)
    return file


def several(folder):
    found = queue.SimpleQueue()
    for n in (1, 2, 3):
        found.put(n)
    return found


@pytest.mark.parametrize("network", [Steps, ByGlobal], ids=["in an attribute", "in a global"])
@pytest.mark.parametrize(
    ("make", "take", "named"),
    [
        pytest.param(several, lambda held: held.get(), "SimpleQueue", id="SimpleQueue"),
        pytest.param(iterated, lambda held: int(next(held)), "TextIOWrapper", id="a file that is being iterated over"),
        pytest.param(lambda f: numbers(f).open("rb"), lambda held: held.close() or 1, "BufferedReader", id="closed"),
        pytest.param(lambda f: io.BytesIO(b"1"), lambda held: held.close() or 1, "BytesIO", id="closed in memory"),
    ],
)
def test_what_can_not_be_put_back_is_an_error(make, take, named, network, tmp_path, closed):
    model = network(closed(make(tmp_path)), take)
    with pytest.raises(ForwardError, match=f"forward advanced the {named} in .*, which can't be rewound"):
        cnncost.analyze(model, "1x8")


def test_a_file_that_forward_only_writes_is_no_error(tmp_path):
    with (tmp_path / "log").open("w") as file:
        assert cnncost.analyze(Steps(file, lambda log: log.write("x")), "1x8").totals.macs == EACH


# ---- what code reaches is looked for again once it may be other code

COUNTS = [0]
RULE = None


def one():
    return 1


def counted():
    COUNTS[0] += 1
    return COUNTS[0]


class Counted:
    calls = 0

    def __call__(self):
        type(self).calls += 1
        return type(self).calls


class ByRule(nn.Module):
    """As many products as a global says, which is a function or an object."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        for _ in range(RULE()):
            x = self.linear(x)
        return x


@pytest.mark.parametrize("later", [counted, Counted()], ids=["function", "object"])
@pytest.mark.parametrize("before", [one, lambda: 1, type("One", (), {"__call__": lambda self: 1})()])
def test_a_global_that_is_bound_to_other_code(before, later, monkeypatch):
    monkeypatch.setitem(globals(), "RULE", before)
    assert cnncost.analyze(ByRule(), "1x8").totals.macs == EACH
    monkeypatch.setitem(globals(), "RULE", later)
    for _ in range(3):
        assert cnncost.analyze(ByRule(), "1x8").totals.macs == EACH
    assert (COUNTS, Counted.calls) == ([0], 0)


def new_constant():
    return lambda: 1


def new_counted():
    return lambda: counted() + 0


def test_a_function_in_the_place_of_one_that_is_gone(monkeypatch):
    """Python gives it the same identity, as a rule."""
    model, space, identities = ByRule(), globals(), set()
    monkeypatch.setitem(space, "RULE", None)
    for i in range(20):
        space["RULE"] = None  # not by monkeypatch, which keeps what was there
        space["RULE"] = new_counted() if i % 2 else new_constant()
        identities.add(id(RULE))
        for _ in range(2):
            assert cnncost.analyze(model, "1x8").totals.macs == EACH
    assert COUNTS == [0]
    assert len(identities) < 20


RULES = {}


class ByTable(ByRule):
    def forward(self, x):
        for _ in range(RULES["rule"]() if RULES else 1):
            x = self.linear(x)
        return x


@pytest.mark.parametrize("later", [counted, Counted()], ids=["function", "object"])
@pytest.mark.parametrize("before", [{}, {"rule": one}], ids=["an empty table", "a table"])
def test_a_table_with_other_code(before, later, monkeypatch):
    monkeypatch.setitem(globals(), "RULES", dict(before))
    assert cnncost.analyze(ByTable(), "1x8").totals.macs == EACH
    RULES["rule"] = later
    for _ in range(3):
        assert cnncost.analyze(ByTable(), "1x8").totals.macs == EACH
    assert (COUNTS, Counted.calls) == ([0], 0)


class Ticking(type):
    ticks = 0

    def tick(cls):
        Ticking.ticks += 1
        return Ticking.ticks


class Clock(metaclass=Ticking):
    pass


def test_a_method_of_a_class_that_its_metaclass_has():
    for _ in range(3):
        assert cnncost.analyze(Steps(None, lambda _, tick=Clock.tick: tick()), "1x8").totals.macs == EACH
        assert cnncost.analyze(Steps(None, by_clock), "1x8").totals.macs == EACH
    assert Ticking.ticks == 0


def by_clock(_):
    return Clock.tick()
