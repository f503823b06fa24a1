"""Containers of inputs, whichever class they have, get other sizes: nothing in them stays as it was unnoticed."""

from collections import OrderedDict, UserDict, defaultdict
from collections.abc import MutableMapping
from types import MappingProxyType

import pytest
import torch
from torch import nn

import cnncost
from cnncost.errors import InputError
from cnncost.sources.batch import with_batch
from cnncost.sources.sizes import Axis, with_sizes
from tests.mappings import ReadOnly


class Encoding(UserDict):
    """As tokenizers return them: with arguments and an attribute of its own, and keys as attributes."""

    def __init__(self, data, tag):
        super().__init__(data)
        self.tag = tag

    def __getattr__(self, name):
        if name == "x":
            return self["x"]
        raise AttributeError(name)


class Wrapper(ReadOnly, MutableMapping):
    """Keeps its items in an attribute, which a shallow copy shares."""

    def __setitem__(self, key, value):
        self._items[key] = value

    def __delitem__(self, key):
        del self._items[key]


class Pair(dict):
    """A dict whose class takes other arguments."""

    def __init__(self, key, value):
        super().__init__({key: value})


class Closed(ReadOnly):
    def __init__(self):
        super().__init__({"x": torch.zeros(2, 8)})


def of_lists(items):
    table = defaultdict(list)
    table.update(items)
    return table


CONTAINERS = {
    "dict": dict,
    "OrderedDict": OrderedDict,
    "defaultdict": of_lists,
    "UserDict": UserDict,
    "UserDict with arguments": lambda items: Encoding(items, "a"),
    "dict with arguments": lambda items: Pair(*next(iter(items.items()))),
    "frozen": ReadOnly,
    "wrapper": Wrapper,
    "proxy": MappingProxyType,
}


class Named(nn.Module):
    """Takes its input as a keyword argument: a mapping's items are arguments."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 4)

    def forward(self, x):
        return self.layer(x)


class Whole(Named):
    """Takes the container itself."""

    def forward(self, container):
        return self.layer(container["x"])


class Batched(Named):
    def forward(self, container):
        return self.layer(container["x"].repeat(len(container["x"]), 1))


def macs(rows):
    return rows * 8 * 4


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
def test_a_formula_varies_what_is_in_the_container(make):
    found = cnncost.formula(Whole(), [make({"x": torch.zeros(2, 8)})], vary=("batch",), training=False)
    assert f"macs={macs(1)}·B," in repr(found)


@pytest.mark.parametrize("name", ["defaultdict", "UserDict", "frozen"])
def test_a_formula_varies_named_arguments(name):
    found = cnncost.formula(Named(), CONTAINERS[name]({"x": (2, 8)}), vary=("batch",), training=False)
    assert f"macs={macs(1)}·B," in repr(found)


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
@pytest.mark.parametrize("resize", [lambda c: with_batch([c], 5), lambda c: with_sizes([c], {Axis((0, "x"), 0): 5})],
                         ids=["with_batch", "with_sizes"])  # fmt: skip
def test_class_and_attributes_stay(make, resize):
    given = make({"x": torch.zeros(2, 8)})
    found = resize(given)[0]
    assert type(found) is type(given)
    assert getattr(found, "tag", None) == getattr(given, "tag", None)
    assert found["x"].shape == (5, 8)
    assert given["x"].shape == (2, 8), "the user's own"
    assert cnncost.analyze(Whole(), [found]).totals.macs == macs(5)


@pytest.mark.long
def test_the_largest_batch_is_that_of_a_dict():
    sizes = [
        cnncost.max_batch(Batched(), [make({"x": torch.zeros(2, 8)})], device_memory=100_000, training=False)
        for make in (dict, UserDict)
    ]
    assert sizes[0] == sizes[1] > 2


def test_what_can_not_be_created_anew_is_an_error():
    with pytest.raises(InputError, match=r"a Closed can't be created with other items \(TypeError: .*; give a dict"):
        cnncost.formula(Whole(), [Closed()], vary=("batch",))
