"""Classify objects: plain data, and objects of Python or libraries that are not copied; the values in mappings."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from types import FunctionType, MappingProxyType
from typing import Any

import torch
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

ATOMS = frozenset({bool, int, float, str, type(None), torch.dtype, torch.device, torch.Size, type})
"""Types of immutable values without references to mutable objects, and `type`: a class counts as one value."""

LEAVES = ATOMS - {type}
"""ATOMS except classes, which may have user code that runs if forward instantiates them."""

FIXED = frozenset(
    {complex, bytes, range, slice, type(Ellipsis), type(NotImplemented), object, torch.layout, torch.memory_format}
)
"""Immutable types in addition to ATOMS."""

RESOURCES = frozenset("threading _thread queue _io io logging socket subprocess mmap sqlite3".split())
"""Modules whose objects are shared with other threads, or represent something outside the process."""

SYSTEM = sys.stdlib_module_names - {"__main__"} | {"torch", "numpy"}
"""Top-level packages whose own state doesn't belong to a model."""

_RUNNERS = frozenset({"pytest", "_pytest", "hypothesis"})
"""Top-level packages that run tests. Their state refers to every test, so it is not followed."""

LAZY = frozenset({UninitializedParameter, UninitializedBuffer})
"""Classes of lazy modules' tensors, whose sizes are not known yet."""


@cache
def slots(kind: type) -> tuple[str, ...]:
    """Return the names of a class's slots, as used for attribute lookup (private ones have the class as a prefix)."""
    names: list[str] = []
    for base in kind.__mro__[:-1]:
        declared = base.__dict__.get("__slots__", ())
        for name in (declared,) if isinstance(declared, str) else tuple(declared):
            if name in {"__dict__", "__weakref__"}:
                continue
            is_private = name.startswith("__") and not name.endswith("__")
            names.append(f"_{base.__name__.lstrip('_')}{name}" if is_private else name)
    return tuple(names)


def is_hashed_by_identity(kind: Any) -> bool:
    """True if a class is equal only to itself: its metaclass defines neither `__hash__` nor `__eq__`.

    Python sets `__hash__` to None if only `__eq__` is defined, so comparing `__hash__` is enough.
    """
    default: Any = type.__hash__
    return type(kind).__hash__ is default


def is_shared(function: FunctionType) -> bool:
    """True if a function is a global of its module, so that code may compare it by `is`: it is not copied."""
    return not function.__closure__ and function.__globals__.get(function.__name__) is function


def is_analyzer_module(module: object) -> bool:
    """True for cnncost's own modules except its networks: a forward may analyze, which fills caches."""
    return isinstance(module, str) and module.partition(".")[0] == "cnncost" and not module.startswith("cnncost.zoo")


def is_system_module(module: object) -> bool:
    """True if a class's or function's `__module__` is Python's, torch's or numpy's own."""
    return isinstance(module, str) and module.partition(".")[0] in SYSTEM


def is_test_runner(module: object) -> bool:
    """True if a module runs tests: rewritten `assert`s name one in the globals of code that a test defines."""
    return isinstance(module, str) and module.partition(".")[0] in _RUNNERS


@cache
def is_plain(kind: type) -> bool:
    """True if objects of a class have all of their state in `__dict__`, and the class does not customize copying."""
    return (
        not is_system_module(kind.__module__)
        and getattr(kind, "__new__", None) is object.__new__
        and getattr(kind, "__reduce_ex__", None) is object.__reduce_ex__
        and getattr(kind, "__reduce__", None) is object.__reduce__
        and getattr(kind, "__getstate__", None) is object.__getstate__
        and not any(hasattr(kind, name) for name in ("__setstate__", "__deepcopy__"))
        and kind.__dictoffset__ != 0
        and not any("__slots__" in base.__dict__ for base in kind.__mro__)
        and not issubclass(kind, type)
    )


def has_fixed_defaults(function: FunctionType) -> bool:
    """True if a function's default values are immutable, so that it need not be copied for them."""
    defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    return ATOMS.issuperset(map(type, defaults))


def values_held(mapping: Mapping[Any, Any]) -> tuple[Any, ...]:
    """Return the values in a dict; for a mapping of another class, the tensors and containers in its attributes.

    Its methods may compute values when they are asked for, and forward may not have asked.
    """
    if isinstance(mapping, (dict, MappingProxyType)):
        return tuple(mapping.values())
    attributes = getattr(mapping, "__dict__", {}).values()
    return tuple([value for value in attributes if isinstance(value, (torch.Tensor, dict, list, tuple))])
