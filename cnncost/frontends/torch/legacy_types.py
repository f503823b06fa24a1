"""`isinstance(x, torch.FloatTensor)`: what such types say of a tensor follows from its device.

They are no classes of tensors; their metaclass answers, by a method of C that sees the device that a tensor is really
on. It is not to be set from Python in the ordinary way, so the metaclass's own table is written to, and torch's method
put back.
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
    """While it lasts, `says(kind, value)` answers for such types; None: as torch does."""
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
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(_KIND))  # what was looked up before is forgotten
