"""Snapshots of module attributes: numbers, strings, functions, and nested containers of them.

Two snapshots are equal if nothing changed in between. They keep nothing of the model alive: a tensor is represented by
its `id`, and functions that could refer to a module (closures, attributes, defaults) are rejected. (Classes and globals
may refer to it, too: such a model stays alive until the cache evicts it.)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from enum import Enum, EnumType
from functools import partial
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any
from weakref import ReferenceType

import torch

from cnncost.frontends.torch.kinds import ATOMS, is_hashed_by_identity

_SEQUENCES = frozenset({list, tuple, set, frozenset, torch.Size})
_TABLES = frozenset({dict, OrderedDict})
_MAX_ITEMS = 1000
_MAX_DEPTH = 50


class UnfitError(Exception):
    """A value whose changes can't be detected."""


class _Same:
    """Wraps an object to compare it by identity, ignoring its `__eq__`."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value

    __hash__ = None  # type: ignore[assignment]  # only compared, never hashed


def frozen(value: Any, tensors: set[int]) -> Any:
    """Take a snapshot of a value.

    Args:
        value: the attribute's value.
        tensors: ids of the tensors that it may contain; changes to these are checked elsewhere.

    Raises:
        UnfitError: it contains objects of other kinds, or itself, or too many items to compare each time.
    """
    return _Snapshot(tensors).take(value)


class _Snapshot:
    """Takes one snapshot. `_left` is the number of items still allowed: with more, copying the model is faster."""

    def __init__(self, tensors: set[int]) -> None:
        self._tensors = tensors
        self._left = _MAX_ITEMS
        self._ancestors: set[int] = set()

    def take(self, value: Any) -> Any:
        kind = type(value)
        if not is_hashed_by_identity(kind):
            raise UnfitError  # its metaclass defines the equality of classes, which are part of a snapshot
        if kind is float:
            return kind, value.hex()  # distinguishes 0.0 and -0.0, which are equal
        if kind in ATOMS:
            return kind, value
        if kind in _SEQUENCES:
            return kind, id(value), self._items(value, value)
        if kind in _TABLES:
            return kind, id(value), self._items(value, value.keys()), self._items(value, value.values())
        if kind is partial and not value.__dict__:
            return kind, self._items(value, (value.func, value.args, value.keywords))
        if id(value) in self._tensors and isinstance(value, torch.Tensor):
            return torch.Tensor, id(value)
        if kind is ReferenceType or kind is EnumType or isinstance(value, Enum) or _has_no_state(value, kind):
            return _Same(value)
        raise UnfitError

    def _items(self, container: Any, items: Collection[Any]) -> list[Any]:
        self._left -= len(items)
        if self._left < 0 or id(container) in self._ancestors or len(self._ancestors) > _MAX_DEPTH:
            raise UnfitError
        self._ancestors.add(id(container))
        snapshots = [self.take(item) for item in items]
        self._ancestors.discard(id(container))
        return snapshots


def _has_no_state(value: Any, kind: type) -> bool:
    """True if a function refers only to its module's globals."""
    if kind is FunctionType:
        defaults = (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
        return value.__closure__ is None and not value.__dict__ and ATOMS.issuperset(map(type, defaults))
    return kind is BuiltinFunctionType and (value.__self__ is None or isinstance(value.__self__, ModuleType))
