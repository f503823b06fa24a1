"""Calls of modules are seen without a change to the class `nn.Module`, for which Python would give up its caches."""

import sys

import pytest
import torch
from torch import nn

import cnncost
from cnncost.frontends.torch import recording

CALL = nn.Module._call_impl
MACS = 2 * 4 * 4 * 3


class Three(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))


@pytest.mark.parametrize("how", [{}, {"training": True}, {"trace": "real"}], ids=str)
def test_no_attribute_of_a_class_of_modules_is_replaced(how, monkeypatch):
    """Each time that one is, all its subclasses get a new version, of which Python caches the first thousand."""
    seen, original = [], recording.patched

    def patched(patches):
        seen.extend(patches)
        return original(patches)

    monkeypatch.setattr(recording, "patched", patched)
    cnncost.analyze(Three(), torch.ones(2, 4), **how)
    assert [each for each in seen if isinstance(each.owner, type) and issubclass(each.owner, nn.Module)] == []
    assert any(each.owner is CALL for each in seen)


def counted(call_impl, monkeypatch):
    """With another method in the class, as libraries that trace modules set it: MACs, and calls that the method saw."""
    monkeypatch.setattr(nn.Module, "_call_impl", call_impl)
    report = cnncost.analyze(Three(), (2, 4))
    assert nn.Module._call_impl is call_impl
    return report.totals.macs, [layer.path for layer in report.layers]


def of_a_closure(seen):
    def call_impl(self, *args, **kwargs):
        seen.append(type(self).__name__)
        return CALL(self, *args, **kwargs)

    return call_impl


SEEN = []


def without_a_closure(self, *args, scale=1, **kwargs):
    SEEN.append(type(self).__name__)
    return scale * CALL(self, *args, **kwargs)


class InC:
    """Not a function: as one in C is."""

    def __init__(self, seen):
        self.seen = seen

    def __get__(self, module, kind):
        return self if module is None else lambda *args, **kwargs: self(module, *args, **kwargs)

    def __call__(self, module, *args, **kwargs):
        self.seen.append(type(module).__name__)
        return CALL(module, *args, **kwargs)


@pytest.mark.parametrize("kind", ["with a closure", "without one", "another callable"])
def test_a_program_that_has_replaced_the_method(kind, monkeypatch):
    seen = SEEN if kind == "without one" else []
    seen.clear()
    made = {"with a closure": of_a_closure, "without one": lambda _: without_a_closure, "another callable": InC}
    macs, paths = counted(made[kind](seen), monkeypatch)
    assert macs == MACS
    assert paths[-3:] == ["0", "1", "2"]
    assert seen == ["Three", "Linear", "Linear", "Linear"]


def test_as_deep_as_the_model_itself_runs():
    """A level of the model takes three or four frames, and more while it is analyzed."""
    model, x = nn.Linear(4, 4), torch.ones(2, 4)
    for _ in range((sys.getrecursionlimit() - 200) // 4):
        model = nn.Sequential(model)
    with torch.no_grad():
        model(x)
    limit = sys.getrecursionlimit()
    assert cnncost.analyze(model, x).totals.macs == 32
    assert sys.getrecursionlimit() == limit


@pytest.mark.parametrize("limit", [2**30, 2**31 - 1])  # the latter is the highest that Python takes
def test_a_program_that_has_lifted_the_limit(limit, monkeypatch):
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(limit)
    try:
        assert cnncost.analyze(Three(), (2, 4)).totals.macs == MACS
        assert sys.getrecursionlimit() == limit
    finally:
        sys.setrecursionlimit(before)


def test_endless_recursion_is_still_an_error():
    class Endless(nn.Module):
        def forward(self, x):
            return self(x)

    with pytest.raises(cnncost.CnncostError, match="recursion"):
        cnncost.analyze(Endless(), (2, 4))


def test_code_is_put_back_after_an_error():
    code = CALL.__code__

    class Raises(nn.Module):
        def forward(self, x):
            raise LookupError("no such entry")

    with pytest.raises(cnncost.CnncostError, match="no such entry"):
        cnncost.analyze(Raises(), (2, 4))
    assert CALL.__code__ is code
