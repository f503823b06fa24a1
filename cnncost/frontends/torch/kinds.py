"""Which objects are plain data, and which belong to Python or to libraries and are left alone."""

from __future__ import annotations

import sys
from functools import cache
from types import FunctionType

import torch
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

ATOMS = frozenset({bool, int, float, str, type(None), torch.dtype, torch.device, torch.Size, type})
"""Types whose objects hold nothing that could change."""

SYSTEM = sys.stdlib_module_names - {"__main__"} | {"torch", "numpy"}
"""Top-level packages whose own state is not a model's."""

LAZY = frozenset({UninitializedParameter, UninitializedBuffer})
"""Tensors of lazy modules, whose sizes nobody knows yet."""


@cache
def slots(kind: type) -> tuple[str, ...]:
    """Names that objects of a class keep outside their `__dict__`, as attributes are looked up."""
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
    """Whether all code of its module knows a function by its name, and may compare it by `is`: it has no copy."""
    return not function.__closure__ and function.__globals__.get(function.__name__) is function


def of_system(module: object) -> bool:
    """Whether a class's or function's `__module__` is Python's, torch's or numpy's own."""
    return isinstance(module, str) and module.partition(".")[0] in SYSTEM
