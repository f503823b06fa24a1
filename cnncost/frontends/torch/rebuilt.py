"""Iterators of `itertools` on Python 3.14, where `copy` no longer takes them: rebuilt at the same position.

What an iterator refers to, as the garbage collector sees it, tells the position of a `count`, `repeat`, `chain`,
`starmap` or `filterfalse`, and that of a `cycle` in its first round over a collection. Others keep their position in C
integers, which nothing shows: `state` only tells whether it has changed.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
from collections.abc import Callable, Iterable
from typing import Any

_COPIED_BY_PYTHON = itertools.count.__reduce__ is not object.__reduce__
"""True up to Python 3.13."""
_COLLECTIONS: tuple[Iterable[Any], ...] = ([], (), "", b"", range(0), {}, {}.values(), {}.items(), set())
_FINITE = frozenset(type(iter(each)) for each in _COLLECTIONS)

Copy = Callable[[Any], Any]
"""Copies what an iterator reads from or hands out; returns None for what can't be copied."""


def rebuilt(iterator: Any, copy: Copy) -> Any:
    """Return a new iterator of the same type at the same position; None if it can't be rebuilt, or `copy` takes it."""
    if _COPIED_BY_PYTHON or (make := _REBUILT.get(type(iterator))) is None:
        return None
    parts = [part for part in gc.get_referents(iterator) if part is not type(iterator)]
    copies = [copy(part) for part in parts]
    lacking = any(new is None and old is not None for new, old in zip(copies, parts, strict=True))
    return None if lacking else make(iterator, copies)


def state(iterator: Any) -> bytes:
    """Return the iterator's C struct behind the object header: it changes when the iterator advances."""
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
    if len(parts) < 2:  # not begun, or at its end
        return itertools.chain.from_iterable(*parts or [()])
    source, active = parts
    return itertools.chain.from_iterable(itertools.chain((active,), source))


def _cycle(_: Any, parts: list[Any]) -> Any:
    if len(parts) < 2:
        return None  # in a later round
    rest, seen = parts
    if not seen:
        return itertools.cycle(rest)
    if type(rest) not in _FINITE:
        return None
    made = itertools.cycle([*seen, *rest])
    for _seen in seen:
        next(made)
    return made


def _applied(iterator: Any, parts: list[Any]) -> Any:
    items, function = parts
    return type(iterator)(function, items)


_REBUILT: dict[type, Callable[[Any, list[Any]], Any]] = {
    itertools.count: _count, itertools.repeat: _repeat, itertools.chain: _chain, itertools.cycle: _cycle,
    itertools.starmap: _applied, itertools.filterfalse: _applied,
}  # fmt: skip
