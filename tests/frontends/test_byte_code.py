"""The names in byte code: each row is a function, and the names that its source uses."""

import math
import os.path

import pytest
import torch
from torch import nn

from cnncost.frontends.torch.byte_code import names_in


def _chain(x):
    return nn.functional.relu(x) + torch.float32.itemsize


def _passed_on(x):
    library = math
    return library.sqrt(x)


def _nested(x):
    def inner(y):
        return [os.path.normpath(y + each) for each in x]

    return inner(x)


def _chosen(x, which):
    return (x if which else math).floor(2.5)


def _sets(self):
    self.count = self.other.count + 1
    del self.gone


def _enclosing(table, number):
    def function(x):
        return table.items(), number, x

    return function


def _imports():
    import json

    return json


def _assigns():
    global _MADE  # noqa: PLW0603  # what is read
    _MADE = 1


def _defines():
    class Inner:
        pass

    return Inner


def _matches(x):
    match x:
        case complex(real=0):
            return 1


ROWS = {
    "a chain": (
        _chain,
        {("nn", "functional", "relu"), ("torch", "float32", "itemsize")},
        {"functional", "relu"},
    ),
    "a module as a value": (_passed_on, {("math",)}, {"sqrt"}),
    "functions and comprehensions within": (_nested, {("os", "path", "normpath")}, {"path"}),
    "an attribute of one of two": (_chosen, {("math", "floor")}, {"floor"}),
    "attributes that are set": (_sets, set(), {"count", "other", "gone"}),
    "variables around it": (_enclosing({}, 1), set(), {"items"}),
}


@pytest.mark.parametrize("row", ROWS)
def test_names(row):
    function, chains, attributes = ROWS[row]
    names = names_in(function.__code__)
    assert names.globals == chains
    assert attributes <= names.attributes
    assert names.unread is None


@pytest.mark.parametrize("function", [_imports, _assigns, _defines, _matches])
def test_what_takes_something_from_elsewhere_is_said(function):
    assert names_in(function.__code__).unread is not None
