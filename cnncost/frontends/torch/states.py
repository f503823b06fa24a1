"""Save and restore objects whose state is not in attributes: random number generators, arrays, byte buffers."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable
from typing import Any, TypeAlias

import torch

Undo: TypeAlias = Callable[[], bool]
"""Restores an object; returns whether it had changed."""

_SMALL = 1 << 20
"""Maximum size in bytes of arrays whose values are saved."""


def undo_of(value: Any, kind: type) -> Undo | None:
    """Save the state of a generator, array or buffer; returns a function that restores it; None for others."""
    if isinstance(value, random.Random):
        return _random(value)
    if kind is torch.Generator:
        state = value.get_state()
        return lambda: not torch.equal(value.get_state(), state) and bool(value.set_state(state))
    if kind is bytearray or kind is array:
        return _buffer(value) if memoryview(value).nbytes <= _SMALL else _nothing
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
        return _array(value) if value.nbytes <= _SMALL and not value.dtype.hasobject else _nothing
    if kind.__module__.startswith("numpy.random") and hasattr(value, "bit_generator"):
        return _numpy(value)
    return None


def _nothing() -> bool:
    """Restore nothing: the array is too large to be saved, or contains objects."""
    return False


def _random(generator: random.Random) -> Undo:
    try:
        state = generator.getstate()
    except NotImplementedError:  # `SystemRandom` has no state
        return _nothing

    def undo() -> bool:
        moved = bool(generator.getstate() != state)
        generator.setstate(state)
        return moved

    return undo


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


def _numpy(generator: Any) -> Undo:
    state = generator.bit_generator.state

    def undo() -> bool:
        if str(generator.bit_generator.state) == str(state):
            return False
        generator.bit_generator.state = state
        return True

    return undo


__all__ = ["Undo", "undo_of"]
