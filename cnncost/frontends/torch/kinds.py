"""Classify objects: plain data, and objects of Python or libraries that are not copied."""

from __future__ import annotations

import sys
from functools import cache
from types import FunctionType

import torch
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

ATOMS = frozenset({bool, int, float, str, type(None), torch.dtype, torch.device, torch.Size, type})
"""Immutable types without references to mutable objects."""

SYSTEM = sys.stdlib_module_names - {"__main__"} | {"torch", "numpy"}
"""Top-level packages whose own state doesn't belong to a model."""

LAZY = frozenset({UninitializedParameter, UninitializedBuffer})
"""Tensors of lazy modules, whose sizes are not known yet."""


@cache
def slots(kind: type) -> tuple[str, ...]:
    """Names of a class's slots, as used for attribute lookup."""
    names: list[str] = []
    for base in kind.__mro__[:-1]:
        declared = base.__dict__.get("__slots__", ())
        for name in (declared,) if isinstance(declared, str) else tuple(declared):
            if name in {"__dict__", "__weakref__"}:
                continue
            private = name.startswith("__") and not name.endswith("__")
            names.append(f"_{base.__name__.lstrip('_')}{name}" if private else name)
    return tuple(names)


def is_shared(function: FunctionType) -> bool:
    """Whether a function is a global of its module, so that code may compare it by `is`: it is not copied."""
    return not function.__closure__ and function.__globals__.get(function.__name__) is function


def of_system(module: object) -> bool:
    """Whether a class's or function's `__module__` is Python's, torch's or numpy's own."""
    return isinstance(module, str) and module.partition(".")[0] in SYSTEM
