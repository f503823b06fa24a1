"""Copies iterators of `itertools`, at their present position, on Python 3.14, where `copy` does not support them.

The objects that an iterator refers to (`gc.get_referents`) determine the position of a `count`, `repeat`, `chain`,
`starmap` or `filterfalse`, and that of a `cycle` in its first round over a collection. Other iterators keep their
position in C integers that Python can't read: `state` only shows whether it has changed.
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
"""Classes of iterators over collections."""

Copy = Callable[[Any], Any]
"""Copies an object that an iterator refers to; returns None if it can't be copied."""


def rebuilt(iterator: Any, copy: Copy) -> Any:
    """Return a copy of the iterator at its position; None if it can't be rebuilt, or `copy` supports it."""
    if _COPIED_BY_PYTHON or (make := _REBUILT.get(type(iterator))) is None:
        return None
    parts = [part for part in gc.get_referents(iterator) if part is not type(iterator)]
    copies = [copy(part) for part in parts]
    is_incomplete = any(new is None and old is not None for new, old in zip(copies, parts, strict=True))
    return None if is_incomplete else make(iterator, copies)


def state(iterator: Any) -> bytes:
    """Return the bytes of the iterator's C struct after the object header, which change when it advances."""
    header = object.__basicsize__
    return ctypes.string_at(id(iterator) + header, type(iterator).__basicsize__ - header)


def _count(iterator: Any, parts: list[Any]) -> Any:
    if len(parts) == 2:
        return itertools.count(*parts)
    return itertools.count(int(repr(iterator)[len("count(") : -1]))  # a C integer; its step is 1


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
        return None  # in a later round, whose position is a C integer
    rest, seen = parts
    if not seen:
        return itertools.cycle(rest)
    if type(rest) not in _FINITE:
        return None  # it may never end, so that it can't be listed
    cycle = itertools.cycle([*seen, *rest])
    for _seen in seen:
        next(cycle)
    return cycle


def _applied(iterator: Any, parts: list[Any]) -> Any:
    """Rebuild an iterator that applies a function to items: `starmap` or `filterfalse`."""
    items, function = parts
    return type(iterator)(function, items)


_REBUILT: dict[type, Callable[[Any, list[Any]], Any]] = {
    itertools.count: _count, itertools.repeat: _repeat, itertools.chain: _chain, itertools.cycle: _cycle,
    itertools.starmap: _applied, itertools.filterfalse: _applied,
}  # fmt: skip
