"""Nests that modules hold: what is kept of a model with them is what a new recording gives.

The oracle is a recording that nothing was kept for.
"""

import gc
import math
import weakref
from collections import OrderedDict, deque
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnncost.frontends.torch import record, skeleton_cache
from cnncost.frontends.torch.frozen import UnfitError, frozen

X = (2, 3)


@pytest.fixture(autouse=True)
def nothing_kept():
    skeleton_cache.clear()
    yield
    skeleton_cache.clear()


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.settings = {"depth": 1, "more": {"scales": [1.0, 2.0]}}
        self.act = F.relu
        self.norm = partial(torch.sum, dim=1)
        self.stages = [{"name": "a", "times": 1}, {"name": "b", "times": 2}]
        self.empty = {}

    def forward(self, x):
        for _ in range(self.settings["depth"] + len(self.empty)):
            x = self.act(self.fc(x))
        for scale in self.settings["more"]["scales"]:
            x = x * scale
        for stage in self.stages:
            for _ in range(stage["times"]):
                x = torch.sigmoid(x) if stage["name"] == "a" else torch.tanh(x)
        return self.norm(x)


def kept_for(model):
    return skeleton_cache._CACHE.get((id(model), None))


def fresh(model):
    held, met = skeleton_cache._CACHE.copy(), skeleton_cache._SEEN.copy()
    skeleton_cache.clear()
    graph = record(model, X)
    skeleton_cache._CACHE.update(held)
    skeleton_cache._SEEN.update(met)
    return graph


CHANGES = {
    "an item": lambda m: m.settings.__setitem__("depth", 2),
    "an item deep inside": lambda m: m.settings["more"]["scales"].append(3.0),
    "a function": lambda m: setattr(m, "act", F.gelu),
    "a partial": lambda m: setattr(m, "norm", partial(torch.mean, dim=1)),
    "a partial's argument": lambda m: m.norm.keywords.__setitem__("dim", 0),
    "an item of a table in a list": lambda m: m.stages[1].__setitem__("name", "a"),
    "a list's order": lambda m: m.stages.reverse() or m.stages[0].__setitem__("times", 1),
    "what was empty": lambda m: m.empty.__setitem__("x", 1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_the_user_changes_is_seen(change):
    model = Nested()
    for _ in range(3):
        before = record(model, X)
    assert kept_for(model) is not None
    change(model)
    expected = fresh(model)
    assert expected != before, "the change is none"
    for _ in range(4):
        assert record(model, X) == expected


class Remembers(nn.Module):
    """Forward writes to its tables: each recording starts with the contents of the user's tables."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.seen = {}
        self.calls = [[0]]

    def forward(self, x):
        self.seen[len(self.seen)] = 1
        self.calls[0][0] += 1
        for _ in range(len(self.seen) + self.calls[0][0]):
            x = self.fc(x)
        return x


def test_what_forward_writes_is_not_seen_by_the_next():
    model = Remembers()
    graphs = [record(model, X) for _ in range(6)]
    assert all(graph == graphs[0] for graph in graphs)
    assert (model.seen, model.calls) == ({}, [[0]])


class Holds(nn.Module):
    def __init__(self, **held):
        super().__init__()
        self.fc = nn.Linear(3, 3)
        for name, value in held.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.fc(x)


class Own:
    """A user's object."""


def _closure():
    inner = Own()
    return lambda: inner


UNFIT = {
    "an object": Own(), "a closure": _closure(), "an object in a table": {"a": Own()}, "an object in a list": [Own()],
    "an object as a key": {Own(): 1}, "a deque": deque([1]), "a method": [1].append, "a range": range(3),
    "a function with defaults": lambda x=(): x, "a tensor of its own": [torch.ones(2)],
}  # fmt: skip


@pytest.mark.parametrize("value", UNFIT.values(), ids=UNFIT)
def test_what_can_not_be_looked_at_keeps_nothing(value):
    model = Holds(held=value)
    for _ in range(4):
        record(model, X)
    assert kept_for(model) is None


FIT = {
    "a function": F.relu, "a built-in": math.sqrt, "a partial": partial(nn.LayerNorm, eps=1e-6), "a set": {1, 2},
    "an ordered table": OrderedDict(a=[1, (2.0, "x")]), "a class": nn.LayerNorm, "nothing": None,
    "a configuration": {"cfg": {"mean": (0.5, 0.5), "size": torch.Size([3])}}, "a dtype": torch.float16,
}  # fmt: skip


@pytest.mark.parametrize("value", FIT.values(), ids=FIT)
def test_what_can_be_looked_at_is_kept(value):
    model = Holds(held=value)
    graphs = [record(model, X) for _ in range(4)]
    assert kept_for(model) is not None
    assert graphs[-1] is graphs[-2]


def test_a_recurrent_layer_is_kept_and_its_weights_are_seen():
    model = nn.LSTM(3, 4)
    graphs = [record(model, (5, 2, 3)) for _ in range(4)]
    assert kept_for(model) is not None
    assert all(graph == graphs[0] for graph in graphs)
    model.weight_hh_l0 = nn.Parameter(torch.rand(16, 4).double())
    model.double()
    expected = record(model, torch.rand(5, 2, 3).double())
    skeleton_cache.clear()
    assert record(model, torch.rand(5, 2, 3).double()) == expected
    del model
    gc.collect()


class Cyclic(Holds):
    """Forward makes a table contain itself; a list does so from the beginning."""

    def __init__(self):
        super().__init__(table={}, items=[{}])
        self.items.append(self.items)

    def forward(self, x):
        self.table["up"] = self.table
        return self.fc(x)


def test_what_holds_itself_is_copied_each_time():
    model = Cyclic()
    graphs = [record(model, X) for _ in range(4)]
    assert all(graph == graphs[0] for graph in graphs)
    model.items.pop()
    assert record(model, X) == graphs[0]


@pytest.mark.parametrize("deep", [False, True], ids=["many items", "one in the other"])
def test_more_than_is_worth_a_look_keeps_nothing(deep):
    nest = [list(range(5000)), {"x": list(range(5000))}]
    for _ in range(100 if deep else 0):
        nest = [nest[0][:1], nest]
    model = Holds(held=nest)
    for _ in range(4):
        record(model, X)
    assert kept_for(model) is None


def test_nests_keep_nothing_alive():
    model = Nested()
    model.weights = [model.fc.weight]
    for _ in range(4):
        record(model, X)
    assert kept_for(model) is not None
    refs = [weakref.ref(model), weakref.ref(model.fc.weight)]
    del model
    gc.collect()
    assert [ref() for ref in refs] == [None, None]
    assert not skeleton_cache._CACHE


def test_equal_numbers_of_other_types_differ():
    assert frozen([1, {"a": True}], set()) != frozen([True, {"a": True}], set())
    assert frozen([1.0], set()) != frozen([1], set())
    tensor = torch.ones(2)
    with pytest.raises(UnfitError):
        frozen([tensor], set())
    held = [tensor]
    assert frozen(held, {id(tensor)}) == frozen(held, {id(tensor)})
