"""Detect that a model has changed between two steps of a loop, so its cost must be analyzed again."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import count
from operator import attrgetter, is_
from typing import Any
from weakref import ref

from torch import Tensor, nn

from cnncost.frontends.torch.compat.modules import children_of, is_scripted, tables_of
from cnncost.frontends.torch.kinds import LAZY


class ModelStates:
    """Numbers the states of a model in which its cost may differ.

    A state consists of the model's modules and their modes, the shapes of its parameters, and whether each requires a
    gradient. A state that recurs (a discriminator is frozen in every other step) keeps its number. Other attributes are
    not compared: most that change during training, such as counters, don't affect the cost.

    Args:
        model: the model.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._numbers: dict[Hashable, int] = {}
        self._structures: dict[Hashable, tuple[int, list[ref[nn.Module]]]] = {}
        self._new_numbers = count()
        self._read()

    def current(self) -> int:
        """Return the number of the model's present state, in less than 1 µs per module."""
        same_length = sum(map(len, self._tables)) == len(self._entries)
        if not same_length or not all(map(is_, self._present_entries(), self._entries)):
            self._read()
        modes, requires_grad = tuple(map(_MODE, self._modules)), tuple(map(_REQUIRES_GRAD, self._parameters))
        state = (self._structure, modes, requires_grad, tuple(map(_NUMEL, self._parameters)))
        return self._numbers.setdefault(state, len(self._numbers))

    def _present_entries(self) -> list[Any]:
        return [entry for table in self._nonempty_tables for entry in table.values()]

    def _read(self) -> None:
        """Read the model's structure: its modules and parameters, and the tables that hold them, to detect changes."""
        self._modules = list(self._model.modules())
        changeable = [module for module in self._modules if not is_scripted(type(module))]
        self._tables = [table for module in changeable for table in (children_of(module), tables_of(module)[0])]
        self._nonempty_tables = [table for table in self._tables if table]
        self._entries = self._present_entries()
        named = list(self._model.named_parameters(remove_duplicate=False))
        self._parameters = [parameter for _, parameter in named if type(parameter) not in LAZY]
        shapes = tuple((name, None if type(p) in LAZY else tuple(p.shape)) for name, p in named)
        key = (*map(id, self._modules), *shapes)
        entry = self._structures.get(key)
        if entry is None or any(reference() is None for reference in entry[1]):  # ids of freed modules are reused
            entry = self._structures[key] = (next(self._new_numbers), list(map(ref, self._modules)))
        self._structure = entry[0]


_MODE = attrgetter("training")
_REQUIRES_GRAD = attrgetter("requires_grad")
_NUMEL = Tensor.numel
