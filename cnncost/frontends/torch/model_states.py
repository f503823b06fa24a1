"""Notices that a model has changed between two steps of a loop, so that its cost has to be analyzed anew."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import count
from operator import attrgetter, is_
from typing import Any
from weakref import ref

from torch import Tensor, nn

from cnncost.frontends.torch.compat.modules import SCRIPTED, children_of, tables_of
from cnncost.frontends.torch.kinds import LAZY


class ModelStates:
    """Numbers the states of a model in which its cost may differ.

    A state is which modules the model has and in which mode, the shapes of its parameters, and which of them require a
    gradient. One that comes back (a discriminator that is frozen in every other step) has the number that it had. Other
    attributes are not compared: most that change while a model is trained, such as counters, change no cost.

    Args:
        model: the model.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._numbers: dict[Hashable, int] = {}
        self._structures: dict[Hashable, tuple[int, list[ref[nn.Module]]]] = {}
        self._fresh = count()
        self._read()

    def current(self) -> int:
        """Return the number of the model's present state, in less than 1 µs for each module."""
        if sum(map(len, self._tables)) != len(self._entries) or not all(map(is_, self._present(), self._entries)):
            self._read()
        modes, trained = tuple(map(_MODE, self._modules)), tuple(map(_REQUIRES_GRAD, self._parameters))
        state = (self._structure, modes, trained, tuple(map(_SIZE, self._parameters)))
        return self._numbers.setdefault(state, len(self._numbers))

    def _present(self) -> list[Any]:
        return [entry for table in self._filled for entry in table.values()]

    def _read(self) -> None:
        self._modules = list(self._model.modules())
        plain = [module for module in self._modules if type(module) not in SCRIPTED]  # those can't be changed
        self._tables = [table for module in plain for table in (children_of(module), tables_of(module)[0])]
        self._filled = [table for table in self._tables if table]
        self._entries = self._present()
        named = list(self._model.named_parameters(remove_duplicate=False))
        self._parameters = [each for _, each in named if type(each) not in LAZY]
        shapes = tuple((name, None if type(each) in LAZY else tuple(each.shape)) for name, each in named)
        key = (*map(id, self._modules), *shapes)
        known = self._structures.get(key)
        if known is None or any(held() is None for held in known[1]):  # ids are used again
            known = self._structures[key] = (next(self._fresh), list(map(ref, self._modules)))
        self._structure = known[0]


_MODE = attrgetter("training")
_REQUIRES_GRAD = attrgetter("requires_grad")
_SIZE = Tensor.numel
