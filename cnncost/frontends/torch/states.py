"""Saves and restores objects whose state is in neither attributes nor items: random generators, buffers, files."""

from __future__ import annotations

import array
import ctypes
import io
import mmap
import random
from collections.abc import Callable
from multiprocessing import sharedctypes
from queue import SimpleQueue
from typing import Any

import torch

from cnncost.frontends.torch.rebuilt import state

_SMALL = 1 << 20
"""Maximum size in bytes of arrays and buffers whose contents are saved."""
_OF_C: Any = (ctypes.c_int.__base__, ctypes.Array, ctypes.Structure, ctypes.Union)
"""Base classes of ctypes objects; the one of numbers has no public name."""

Undo = Callable[[], bool]
"""Restores an object, and returns whether it had changed."""
State = tuple[Callable[[], Any], Callable[[Any], object]]
"""Two functions: the first returns an object's state, which can be compared with `==`; the second sets it."""


class RandomState:
    """The saved state of a random generator of Python or NumPy. A call restores it.

    Args:
        read: returns the generator's state.
        write: sets the generator's state.
    """

    def __init__(self, read: Callable[[], Any], write: Callable[[Any], object]) -> None:
        self._read, self._write, self._then = read, write, read()

    def moved(self) -> bool:
        """Return True if the generator has been drawn from."""
        return bool(self._read() != self._then)

    def __call__(self) -> bool:
        """Restore the generator, and return whether it had been drawn from."""
        if not self.moved():
            return False
        self._write(self._then)
        return True


def undo_of(value: Any, kind: type) -> Undo | None:
    """Save an object's state, and return a function that restores it.

    None if the object is of another kind, too large, or closed.
    """
    found = _state_of(value, kind)
    if found is None:
        return None
    read, write = found
    try:
        if isinstance(value, random.Random) or kind.__module__.startswith("numpy.random"):
            return RandomState(read, write)
        then = read()
    except (OSError, ValueError, NotImplementedError):  # a closed file, or a `SystemRandom`, which has no state
        return None

    def restore() -> bool:
        try:
            if read() == then:
                return False
        except OSError:
            pass  # while a text file is being iterated over, `tell` raises but `seek` works
        except ValueError:
            return False  # forward has closed it, which `closed_check` reports
        write(then)
        return True

    return restore


def closed_check(value: Any) -> Callable[[], bool] | None:
    """Return a function that tells whether a file is closed, which can't be undone; None for other objects."""
    return (lambda: bool(value.closed)) if isinstance(value, io.IOBase) else None


def position(value: Any) -> Callable[[], Any] | None:
    """Return a function whose result changes when an item is taken that can't be put back.

    None if the object has no such items.
    """
    if isinstance(value, SimpleQueue):
        return value.qsize
    if isinstance(value, io.TextIOWrapper) and _is_readable(value):
        try:
            value.tell()
        except OSError:  # it is being iterated over
            return lambda: (value.buffer.tell(), state(value))  # bytes read ahead, and characters taken from them
    return None


def _state_of(value: Any, kind: type) -> State | None:
    if isinstance(value, random.Random):
        return value.getstate, value.setstate
    if kind is torch.Generator:
        return lambda: _Saved(value.get_state()), lambda then: value.set_state(then.state)
    if kind.__module__.partition(".")[0] == "numpy":
        return _of_numpy(value, kind)
    if isinstance(value, (bytearray, array.array, mmap.mmap, memoryview)):
        return _of_buffer(value)
    if isinstance(value, sharedctypes.SynchronizedBase):
        value = value.get_obj()
    if isinstance(value, _OF_C):
        return _of_c(value)
    if isinstance(value, io.IOBase):
        return _of_file(value)
    return None


def _of_numpy(value: Any, kind: type) -> State | None:
    if kind.__name__ == "ndarray":
        if value.nbytes > _SMALL or value.dtype.hasobject:
            return None
        return lambda: _Saved(value.copy()), lambda then: value.__setitem__(..., then.state)
    if not kind.__module__.startswith("numpy.random"):
        return None
    value = getattr(value, "bit_generator", value)
    if hasattr(value, "get_state"):  # RandomState
        return lambda: _Saved(value.get_state(legacy=False)), lambda then: value.set_state(then.state)
    if hasattr(value, "state"):
        return lambda: _Saved(value.state), lambda then: setattr(value, "state", then.state)
    return None


def _of_buffer(value: Any) -> State | None:
    size = value.nbytes if isinstance(value, memoryview) else len(value) * getattr(value, "itemsize", 1)
    if size > _SMALL or (isinstance(value, memoryview) and (value.readonly or value.ndim != 1)):
        return None
    if isinstance(value, memoryview):
        return value.tobytes, lambda then: value.cast("B").__setitem__(slice(None), then)
    copy = (lambda: value[:]) if not isinstance(value, mmap.mmap) else (lambda: bytes(value[:]))
    return copy, lambda then: value.__setitem__(slice(None), then)


def _of_c(value: Any) -> State | None:
    address, size = ctypes.addressof(value), ctypes.sizeof(value)
    if size > _SMALL:
        return None
    return lambda: ctypes.string_at(address, size), lambda then: ctypes.memmove(address, then, size)


def _of_file(value: Any) -> State | None:
    """The position, and for a file in memory also its contents. What forward writes to a file on disk stays there."""
    if not _is_readable(value):
        return None
    if isinstance(value, (io.BytesIO, io.StringIO)) and _length(value) <= _SMALL:
        memory: Any = value  # typeshed lacks `__getstate__`: contents, position and attributes
        return lambda: memory.__getstate__()[:-1], lambda then: memory.__setstate__((*then, None))
    return value.tell, value.seek


def _is_readable(file: Any) -> bool:
    return not file.closed and bool(file.seekable()) and bool(file.readable())


def _length(file: Any) -> int:
    here = file.tell()
    end = file.seek(0, io.SEEK_END)
    file.seek(here)
    return int(end)


class _Saved:
    """A state that may contain arrays, which are compared by value."""

    def __init__(self, state: Any) -> None:
        self.state = state
        self._key = _by_value(state)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Saved) and other._key == self._key

    __hash__ = None  # type: ignore[assignment]  # mutable contents


def _by_value(state: Any) -> Any:
    if isinstance(state, dict):
        return {name: _by_value(part) for name, part in state.items()}
    if hasattr(state, "tobytes"):
        return state.shape, state.tobytes()
    return state.tolist() if isinstance(state, torch.Tensor) else state


__all__ = ["RandomState", "Undo", "closed_check", "position", "undo_of"]
