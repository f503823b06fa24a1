"""What an attribute of a module holds, as it was when it was looked at: numbers, words, functions, and nests of them.

Two looks are equal where nothing was changed in between. They keep nothing of the model alive: a tensor is its
identity, and functions that could lead back to a module by what they hold are unfit. (Classes and globals may lead
back, too: a model that has such keeps itself until some others have come.)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from functools import partial
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any
from weakref import ReferenceType

import torch

from cnncost.frontends.torch.kinds import ATOMS

_ITEMS = frozenset({list, tuple, set, frozenset, torch.Size})
_TABLES = frozenset({dict, OrderedDict})
_MOST = 1000
_DEEPEST = 50


class UnfitError(Exception):
    """Something whose changes can't be seen."""


class _Same:
    """An object that is equal to itself alone, whatever it thinks."""

    __slots__ = ("what",)

    def __init__(self, what: object) -> None:
        self.what = what

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.what is self.what

    __hash__ = None  # type: ignore[assignment]  # for comparisons alone


def frozen(value: Any, tensors: set[int]) -> Any:
    """A look at a value.

    Args:
        value: of an attribute.
        tensors: identities of those that are watched otherwise, and may be in it.

    Raises:
        UnfitError: it holds something else, or itself, or more than is worth a look each time.
    """
    return _Eye(tensors).look(value)


class _Eye:
    """One look. `_left` is how many more items are worth it: beyond, a new copy of the model costs less."""

    def __init__(self, tensors: set[int]) -> None:
        self._tensors = tensors
        self._left = _MOST
        self._above: set[int] = set()

    def look(self, value: Any) -> Any:
        kind = type(value)
        if kind in ATOMS:
            return kind, value
        if kind in _ITEMS:
            return kind, self._each(value, value)
        if kind in _TABLES:
            return kind, self._each(value, value.keys()), self._each(value, value.values())
        if kind is partial and not value.__dict__:
            return kind, self._each(value, (value.func, value.args, value.keywords))
        if id(value) in self._tensors and isinstance(value, torch.Tensor):
            return torch.Tensor, id(value)
        if kind is ReferenceType or _is_alone(value, kind):
            return _Same(value)
        raise UnfitError

    def _each(self, whole: Any, items: Collection[Any]) -> list[Any]:
        self._left -= len(items)
        if self._left < 0 or id(whole) in self._above or len(self._above) > _DEEPEST:
            raise UnfitError
        self._above.add(id(whole))
        found = [self.look(item) for item in items]
        self._above.discard(id(whole))
        return found


def _is_alone(value: Any, kind: type) -> bool:
    """Whether a function knows of nothing but its module's globals."""
    if kind is FunctionType:
        defaults = (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
        return value.__closure__ is None and not value.__dict__ and ATOMS.issuperset(map(type, defaults))
    return kind is BuiltinFunctionType and (value.__self__ is None or isinstance(value.__self__, ModuleType))
