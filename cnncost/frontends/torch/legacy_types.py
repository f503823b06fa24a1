"""Support `isinstance(x, torch.FloatTensor)`, whose answer depends on the tensor's device.

These types are not tensor classes; their metaclass answers with a C method that sees a tensor's real device.
Python can't assign that method in the ordinary way, so the metaclass's `__dict__` is modified directly, and torch's
method restored on exit.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

_KIND: Any = type(torch.FloatTensor)
_NAME = "__instancecheck__"


@contextmanager
def answered_by(says: Callable[[Any, Any], bool | None]) -> Iterator[None]:
    """In this context, `says(kind, value)` answers for such types; None: torch answers."""
    table = next((t for t in gc.get_referents(_KIND.__dict__) if type(t) is dict and _NAME in t), None)
    if table is None:  # another implementation of Python
        yield
        return
    before = table[_NAME]

    def answer(kind: Any, value: Any) -> bool:
        said = says(kind, value)
        return bool(before(kind, value)) if said is None else said

    _set(table, answer)
    try:
        yield
    finally:
        _set(table, before)


def _set(table: dict[str, Any], method: Any) -> None:
    table[_NAME] = method
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(_KIND))  # invalidate cached lookups
