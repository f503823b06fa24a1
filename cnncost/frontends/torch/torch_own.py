"""Decides whether entries in torch's namespaces and classes are torch's own or were put there by a program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import _lru_cache_wrapper, partial
from operator import attrgetter
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    WrapperDescriptorType,
)
from typing import Any

import torch
import torch.utils.checkpoint

from cnncost.frontends.torch.compat.modules import CFUNCTIONS
from cnncost.frontends.torch.compat.ops import NN_FUNCTIONS
from cnncost.frontends.torch.kinds import ATOMS, is_system_module
from cnncost.frontends.torch.known_code import is_system_function

TABLES: tuple[dict[str, Any], ...] = (
    vars(torch), vars(torch.nn.functional), vars(torch.functional), vars(torch.nn), vars(torch.nn.init),
    vars(torch.jit), vars(torch.utils.checkpoint), vars(CFUNCTIONS), vars(NN_FUNCTIONS),
)  # fmt: skip
"""Namespaces in which torch's code looks up its functions. A program may have replaced some of them."""
_PACKAGE = __name__.partition(".")[0]


def is_torch_own(value: Any, within: frozenset[int] = frozenset()) -> bool:
    """Return True if a value is no function, object or class of a program and wraps none.

    Args:
        value: an entry of a namespace, or a value inside one.
        within: ids of the enclosing functions, to stop at closures that contain their own function.
    """
    kind = type(value)
    if kind in _WRAPPERS:
        return all(is_torch_own(each, within) for each in _WRAPPERS[kind](value))
    if kind is FunctionType:
        if not is_system_function(value):
            # our own: backports to older versions of torch
            return str(value.__globals__.get("__name__")).partition(".")[0] == _PACKAGE
        return id(value) in within or all(is_torch_own(each, within | {id(value)}) for each in _contents(value))
    if issubclass(kind, type):
        return _of_system(value.__module__)
    # wrappers of functools and types may contain the user's functions
    return kind in _OF_TYPES or (_of_system(kind.__module__) and kind.__module__ not in {"functools", "types"})


_WRAPPERS: dict[type, Callable[[Any], Iterable[Any]]] = {
    staticmethod: lambda value: (value.__func__,),
    classmethod: lambda value: (value.__func__,),
    property: attrgetter("fget", "fset", "fdel"),
    partial: lambda value: (value.func, *value.args, *value.keywords.values()),
    _lru_cache_wrapper: lambda value: (value.__wrapped__,),
}
_OF_TYPES = frozenset(
    {type(list[int]), type(int | None), type(torch), type(None), GetSetDescriptorType, MemberDescriptorType}
)
"""Classes of objects that contain no code."""


def is_fixed(value: Any) -> bool:
    """Return True if an entry of a class is a method, a class or an immutable value, not an object with contents."""
    return type(value) in _FIXED or isinstance(value, type)


_FIXED = ATOMS | {
    BuiltinFunctionType, ClassMethodDescriptorType, FunctionType, GetSetDescriptorType, MemberDescriptorType,
    MethodDescriptorType, WrapperDescriptorType, classmethod, property, staticmethod,
}  # fmt: skip


def _of_system(module: object) -> bool:
    """Return True if a module is Python's or torch's, or one that defines base classes of torch's classes."""
    return is_system_module(module) or module in {"typing_extensions", "pybind11_builtins"}


def _contents(function: FunctionType) -> Iterable[Any]:
    """Yield the values in a function's closure, and those in mappings there."""
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # not set
            continue
        if isinstance(value, Mapping):  # such as the implementations among which `singledispatch` chooses
            yield from value.values()
        yield value
