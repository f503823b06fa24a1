"""Snapshots detect every way in which an object can change, and nothing else."""

from __future__ import annotations

import dataclasses
import functools
import weakref
from collections import OrderedDict, UserDict, deque
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from tests.oracles.snapshot import Snapshot, modules_of

KEPT: dict[str, torch.Tensor] = {}


class Slotted:
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = [1]


@dataclasses.dataclass
class Record:
    x: torch.Tensor


class Mine(list):
    pass


class Model(nn.Module):
    shared: ClassVar[list[int]] = [1]

    def __init__(self) -> None:
        super().__init__()
        self.lin, self.norm = nn.Linear(2, 2), nn.BatchNorm1d(2)
        self.slots, self.record, self.mine = Slotted(), Record(torch.ones(2)), Mine([1])
        self.user, self.queue, self.array, self.set = UserDict(a=1), deque([1]), np.ones(3), {1}
        self.mapping = OrderedDict(a=[1])
        self.generator = torch.Generator()
        self.closed = self._closure()
        self.partial = functools.partial(print, [1])
        self.method = self.record.__eq__
        self.weak = weakref.ref(self.record)
        self.norm.register_forward_hook(self._closure())
        self.cached = functools.lru_cache(lambda n: n)

    @staticmethod
    def _closure():
        held = [torch.ones(2)]
        return lambda *_: held.append


def _changes(change) -> list[str]:
    model, given = Model(), {"list": [torch.ones(2)]}
    roots = {"model": model, "given": given}
    modules = frozenset({__name__})
    before = Snapshot(roots, modules)
    assert before.changes(Snapshot(roots, modules)) == []
    change(model, given)
    return before.changes(Snapshot(roots, modules))


def _set(target, name, value) -> None:
    setattr(target, name, value)


@pytest.mark.parametrize(
    "change",
    [
        lambda m, g: m.lin.weight.data.add_(1),
        lambda m, g: _set(m.lin, "weight", nn.Parameter(m.lin.weight.to("meta"))),
        lambda m, g: _set(m.lin.weight, "data", m.lin.weight.data.clone()),
        lambda m, g: m.lin.weight.requires_grad_(False),
        lambda m, g: _set(m.lin.weight, "grad", torch.ones(2, 2)),
        lambda m, g: m.lin.weight.detach().mul_(1),
        lambda m, g: _set(m.lin, "weight", nn.Parameter(m.lin.weight.detach())),
        lambda m, g: _set(m.lin.weight, "tag", 1),
        lambda m, g: m.norm(torch.rand(3, 2)),
        lambda m, g: m.eval(),
        lambda m, g: m.double(),
        lambda m, g: _set(m, "extra", 1),
        lambda m, g: _set(m.lin, "forward", m.lin.forward),
        lambda m, g: m.register_forward_hook(lambda *_: None),
        lambda m, g: m.slots.value.append(2),
        lambda m, g: _set(m.slots, "value", [1]),
        lambda m, g: _set(m.record, "x", torch.ones(2)),
        lambda m, g: m.mine.append(2),
        lambda m, g: _set(m.mine, "note", 1),
        lambda m, g: m.user.update(a=2),
        lambda m, g: m.queue.append(2),
        lambda m, g: m.set.add(2),
        lambda m, g: m.array.__setitem__(0, 5),
        lambda m, g: m.mapping["a"].append(2),
        lambda m, g: m.generator.manual_seed(7),
        lambda m, g: m.closed.__closure__[0].cell_contents.append(2),
        lambda m, g: m.partial.args[0].append(2),
        lambda m, g: m.cached(torch.ones(1)),
        lambda m, g: _set(Model, "new", 1),
        lambda m, g: Model.shared.append(2),
        lambda m, g: KEPT.update(a=torch.ones(1)),
        lambda m, g: g["list"].append(1),
        lambda m, g: g["list"].__setitem__(0, torch.ones(2)),
        lambda m, g: g.update(more=1),
        lambda m, g: next(iter(m.norm._forward_hooks.values())).__closure__[0].cell_contents.clear(),
    ],
)
def test_a_change_is_detected(change):
    shared = list(Model.shared)
    try:
        assert _changes(change)
    finally:
        Model.shared[:] = shared
        vars(Model).get("new") and delattr(Model, "new")
        KEPT.clear()


@pytest.mark.parametrize(
    "look",
    [
        lambda m, g: m.lin(torch.rand(1, 2)),
        lambda m, g: list(m.parameters()),
        lambda m, g: m.state_dict(),
        lambda m, g: repr(m),
        lambda m, g: m.cached(3),
    ],
)
def test_read_only_access_is_not_a_change(look):
    assert _changes(look) == []


def test_modules_of_returns_reachable_modules_without_torchs():
    assert modules_of(nn.Linear(1, 1)) == frozenset()
    found = modules_of(nn.Sequential(Model()))
    assert Model.__module__ in found
    assert Snapshot.__module__ in found
    assert not any(name.split(".")[0] in {"torch", "numpy"} for name in found)
