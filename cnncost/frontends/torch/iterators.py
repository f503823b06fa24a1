"""Iterators that code around a model holds: forward moves them on, and nothing can move them back.

Forward is lent a copy of an iterator that a variable holds. A generator can't be copied, and others know of an iterator
that lies deeper: whether they have moved on is seen by where they stand.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from types import GeneratorType
from typing import Any

from cnncost.errors import ForwardError

_OF_PYTHON = ("builtins", "itertools")


class Running:
    """Iterators that stay themselves, and where they stand now."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, Iterator[Any], tuple[Any, ...]]] = []

    def add(self, iterator: Iterator[Any], where: str) -> None:
        """`where`: what holds it, for people."""
        self._seen.append((where, iterator, _position(iterator)))

    def check(self) -> None:
        """Raise ForwardError if any has moved on."""
        moved = next(((where, one) for where, one, then in self._seen if _position(one) != then), None)
        if moved is None:
            return
        where, iterator = moved
        name = f"generator {iterator.__name__}" if isinstance(iterator, GeneratorType) else type(iterator).__name__
        raise ForwardError(
            f"forward moved on the {name} in {where}, which can't be put back; make it in forward, or hold an iterator "
            "that can be copied, such as itertools.count(), in an attribute of the module or in a global of its own",
            "",
        )


def is_iterator(kind: type) -> bool:
    """Whether it is one of Python's own, generators included."""
    return kind.__module__ in _OF_PYTHON and hasattr(kind, "__next__")


def copy_of(iterator: Any) -> Any:
    """One that stands where this one does; None if it can't be copied."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python will not copy those of itertools any more, from 3.14 on
            return copy.copy(iterator)
    except TypeError:
        return None


def _position(iterator: Any) -> tuple[Any, ...]:
    if isinstance(iterator, GeneratorType):
        frame = iterator.gi_frame
        if frame is None:
            return ()
        return frame.f_lasti, id(iterator.gi_yieldfrom), *map(id, frame.f_locals.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        _, arguments, *state = iterator.__reduce__() if hasattr(type(iterator), "__reduce__") else (None, ())
    return tuple(
        [
            item if isinstance(item, int) else _position(item) if is_iterator(type(item)) else id(item)
            for item in (*arguments, *state)
        ]
    )
