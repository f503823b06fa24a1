"""Save and restore objects whose state is not in attributes: random number generators, arrays, byte buffers."""

from __future__ import annotations

import pickle
import random
from array import array
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import torch

Undo: TypeAlias = Callable[[], bool]
"""Restores an object; returns whether it had changed."""

_SMALL = 1 << 20
"""Maximum size in bytes of arrays whose values are saved."""


class Drawn:
    """Restores a generator of Python's or numpy's.

    Args:
        read: returns its state.
        write: sets it.
    """

    def __init__(self, read: Callable[[], Any], write: Callable[[Any], object]) -> None:
        self._read, self._write = read, write
        self._then, self._known = read(), pickle.dumps(read())

    def moved(self) -> bool:
        """True if it was drawn from."""
        return pickle.dumps(self._read()) != self._known

    def __call__(self) -> bool:
        """Restore it; returns whether it had moved."""
        if not self.moved():
            return False
        self._write(self._then)
        return True


def undo_of(value: Any, kind: type) -> Undo | None:
    """Save the state of a generator, array or buffer; returns a function that restores it; None for others."""
    if isinstance(value, random.Random):
        return _nothing if isinstance(value, random.SystemRandom) else Drawn(value.getstate, value.setstate)
    if kind is torch.Generator:
        state = value.get_state()
        return lambda: not torch.equal(value.get_state(), state) and bool(value.set_state(state))
    if kind.__module__.startswith("numpy.random"):
        if hasattr(value, "bit_generator"):
            return Drawn(lambda: value.bit_generator.state, partial(setattr, value.bit_generator, "state"))
        return Drawn(value.get_state, value.set_state) if hasattr(value, "set_state") else None
    if kind is bytearray or kind is array:
        return _buffer(value) if memoryview(value).nbytes <= _SMALL else _nothing
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
        return _array(value) if value.nbytes <= _SMALL and not value.dtype.hasobject else _nothing
    return None


def _nothing() -> bool:
    """Restore nothing: the array is too large to be saved, or contains objects."""
    return False


def _buffer(buffer: Any) -> Undo:
    then = buffer[:]

    def undo() -> bool:
        if buffer == then:
            return False
        buffer[:] = then
        return True

    return undo


def _array(values: Any) -> Undo:
    then = values.copy()

    def undo() -> bool:
        if values.shape == then.shape and values.tobytes() == then.tobytes():
            return False
        values[...] = then
        return True

    return undo


__all__ = ["Drawn", "Undo", "undo_of"]
