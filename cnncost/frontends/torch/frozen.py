"""What an attribute of a module holds, as it was when it was looked at: numbers, words, functions, and nests of them.

Two looks are equal where nothing was changed in between. They keep nothing of the model alive: a tensor is its
identity, and functions that could lead back to a module are unfit.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any
from weakref import ReferenceType

import torch

from cnncost.frontends.torch.skeleton import ATOMS

_ITEMS = frozenset({list, tuple, set, frozenset, torch.Size})
_TABLES = frozenset({dict, OrderedDict})


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
        UnfitError: it holds something else.
    """
    kind = type(value)
    if kind in ATOMS:
        return (kind, value)
    if kind in _ITEMS:
        return kind, [frozen(item, tensors) for item in value]
    if kind in _TABLES:
        return kind, [(frozen(key, tensors), frozen(item, tensors)) for key, item in value.items()]
    if kind is partial and not value.__dict__:
        return kind, frozen(value.func, tensors), frozen(value.args, tensors), frozen(value.keywords, tensors)
    if id(value) in tensors and isinstance(value, torch.Tensor):
        return torch.Tensor, id(value)
    if kind is ReferenceType or _is_alone(value, kind):
        return _Same(value)
    raise UnfitError


def _is_alone(value: Any, kind: type) -> bool:
    """Whether a function knows of nothing but its module's globals."""
    if kind is FunctionType:
        defaults = (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
        return value.__closure__ is None and not value.__dict__ and ATOMS.issuperset(map(type, defaults))
    return kind is BuiltinFunctionType and (value.__self__ is None or isinstance(value.__self__, ModuleType))
