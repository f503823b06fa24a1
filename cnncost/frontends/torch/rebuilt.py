"""Copies `itertools` iterators at their current position on Python 3.14, where `copy` does not support them.

The objects to which an iterator refers (`gc.get_referents`) determine the position of a `count`, `chain`, `starmap` or
`filterfalse`, and that of a `cycle` in its first round over a collection; a `repeat` has a length hint. Other iterators
keep their position in C integers that Python can't read: `state` only shows whether it has changed.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
from collections.abc import Callable, Iterable
from typing import Any

_COPIED_BY_PYTHON = itertools.count.__reduce__ is not object.__reduce__
"""True up to Python 3.13, where these iterators support `copy`."""
_COLLECTIONS: tuple[Iterable[Any], ...] = ([], (), "", b"", range(0), {}, {}.values(), {}.items(), set())
_FINITE = frozenset(type(iter(each)) for each in _COLLECTIONS)
"""Classes of iterators over built-in collections."""

Copy = Callable[[Any], Any]
"""Copies an object that an iterator refers to; returns None if it can't be copied."""


def rebuilt(iterator: Any, copy: Copy) -> Any:
    """Return a copy of the iterator at its current position; None if it can't be rebuilt or `copy` supports it."""
    if _COPIED_BY_PYTHON or (make := _REBUILT.get(type(iterator))) is None:
        return None
    parts = [part for part in gc.get_referents(iterator) if part is not type(iterator)]
    copies = [copy(part) for part in parts]
    is_incomplete = any(new is None and old is not None for new, old in zip(copies, parts, strict=True))
    return None if is_incomplete else make(iterator, copies)


def state(iterator: Any) -> bytes:
    """Return the bytes after the object header of the iterator's C struct, which change when it advances."""
    header = object.__basicsize__
    return ctypes.string_at(id(iterator) + header, type(iterator).__basicsize__ - header)


def _count(iterator: Any, parts: list[Any]) -> Any:
    if len(parts) == 2:
        return itertools.count(*parts)
    return itertools.count(int(repr(iterator)[len("count(") : -1]))  # the position is a C integer, and the step 1


def _repeat(iterator: Any, parts: list[Any]) -> Any:
    try:
        left = iterator.__length_hint__()
    except TypeError:
        return itertools.repeat(parts[0])
    return itertools.repeat(parts[0], left)


def _chain(_: Any, parts: list[Any]) -> Any:
    if len(parts) < 2:  # not started, or exhausted
        return itertools.chain.from_iterable(*parts or [()])
    source, active = parts
    return itertools.chain.from_iterable(itertools.chain((active,), source))


def _cycle(_: Any, parts: list[Any]) -> Any:
    if len(parts) < 2:
        return None  # in a later round; the position is a C integer
    rest, seen = parts
    if not seen:
        return itertools.cycle(rest)
    if type(rest) not in _FINITE:
        return None  # it may be infinite
    cycle = itertools.cycle([*seen, *rest])
    for _seen in seen:
        next(cycle)
    return cycle


def _applied(iterator: Any, parts: list[Any]) -> Any:
    """Rebuild a `starmap` or `filterfalse`, which refers to its items and its function."""
    items, function = parts
    return type(iterator)(function, items)


_REBUILT: dict[type, Callable[[Any, list[Any]], Any]] = {
    itertools.count: _count, itertools.repeat: _repeat, itertools.chain: _chain, itertools.cycle: _cycle,
    itertools.starmap: _applied, itertools.filterfalse: _applied,
}  # fmt: skip
