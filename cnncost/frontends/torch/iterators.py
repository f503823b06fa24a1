"""Iterators held by code outside the model: forward advances them, and they can't be rewound.

If a variable holds an iterator, forward gets a copy. A generator can't be copied, and a nested iterator may be
referenced elsewhere: for these, positions are compared, to detect whether forward advanced them.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, GeneratorType, MethodType
from typing import Any, NamedTuple

from cnncost.errors import ForwardError
from cnncost.frontends.torch.rebuilt import rebuilt, state

_MODULES = ("builtins", "itertools")
_MAX_COMPARED = 10_000
"""A list or tuple with this many items or more is compared by identity only."""


class _Entry(NamedTuple):
    """An iterator: a description of its holder, a function that returns its position, and its position before."""

    where: str
    iterator: Any
    position: Callable[[], Any]
    before: Any


class Unrewindable:
    """Iterators and other objects that can be neither copied nor rewound, with their positions before forward."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def add(self, iterator: Iterator[Any], where: str) -> None:
        """Add an iterator. `where` describes its holder, for messages."""
        self.add_position(iterator, where, lambda: _position(iterator))

    def add_position(self, value: Any, where: str, position: Callable[[], Any]) -> None:
        """Add another object that can't be copied; the result of `position` changes when it advances."""
        self._entries.append(_Entry(where, value, position, position()))

    def check(self) -> None:
        """Raise ForwardError if any has advanced."""
        entry = next((entry for entry in self._entries if entry.position() != entry.before), None)
        if entry is None:
            return
        iterator = entry.iterator
        name = f"generator {iterator.__name__}" if isinstance(iterator, GeneratorType) else type(iterator).__name__
        raise ForwardError(
            f"forward advanced the {name} in {entry.where}, which can't be rewound; create it in forward, or hold an "
            "iterator that can be copied, such as itertools.count(), in an attribute of the module or in a global",
            "",
        )


def is_iterator(kind: type) -> bool:
    """True for Python's own iterator types, including generators."""
    return kind.__module__ in _MODULES and hasattr(kind, "__next__")


@contextmanager
def copy_warning_ignored(kind: type) -> Iterator[None]:
    """Suppress the DeprecationWarning of Python 3.12 and 3.13 on copying iterators of `itertools`, in this context."""
    if not is_iterator(kind):
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def copy_of(iterator: Any) -> Any:
    """Return a copy at the same position, with copies of nested iterators; None if one can't be copied."""
    if isinstance(iterator, GeneratorType):
        return None
    try:
        with copy_warning_ignored(type(iterator)):
            return _copy_by_reduce(iterator)
    except TypeError:
        return rebuilt(iterator, _copy_nested)


def _copy_nested(item: Any) -> Any:
    """Return a copy of an iterator, or of a list or tuple that contains iterators; any other object itself.

    None if an iterator can't be copied.
    """
    if is_iterator(type(item)):
        return copy_of(item)
    if type(item) not in {list, tuple} or len(item) >= _MAX_COMPARED or not any(is_iterator(type(i)) for i in item):
        return item
    copies = [copy_of(inner) if is_iterator(type(inner)) else inner for inner in item]
    return None if _is_incomplete(copies, item) else type(item)(copies)


def _is_incomplete(copies: Iterable[Any], items: Iterable[Any]) -> bool:
    """True if an item could not be copied."""
    return any(copy is None and item is not None for copy, item in zip(copies, items, strict=True))


def _copy_by_reduce(iterator: Any) -> Any:
    """Copy an iterator by `__reduce__`, as `copy` does. Raises TypeError if the iterator does not support it."""
    make, arguments, *rest = iterator.__reduce__()  # then a state, if there is one
    if make is iter and len(arguments) > 1:
        return None  # `iter(function, sentinel)`: the function may read anything
    copied_arguments = [_copy_nested(item) for item in arguments]
    if _is_incomplete(copied_arguments, arguments):
        return None
    copy = make(*copied_arguments)
    saved_state = rest[0] if rest else None
    if saved_state is not None:
        parts = saved_state if isinstance(saved_state, tuple) else (saved_state,)
        copied_parts = [_copy_nested(item) for item in parts]
        if _is_incomplete(copied_parts, parts):
            return None
        copy.__setstate__(tuple(copied_parts) if isinstance(saved_state, tuple) else copied_parts[0])
    return copy


def _position(iterator: Any) -> tuple[Any, ...]:
    """Return an iterator's position, for comparison: the objects that it refers to, which the result keeps alive."""
    if isinstance(iterator, GeneratorType):
        frame = iterator.gi_frame
        if frame is None:
            return ()
        loops = [item for item in gc.get_referents(iterator) if is_iterator(type(item))]  # iterators of running loops
        return frame.f_lasti, *map(_Same, frame.f_locals.values()), *[_position(item) for item in loops]
    try:
        with copy_warning_ignored(type(iterator)):
            _, arguments, *rest = iterator.__reduce__()
    except TypeError:
        return state(iterator), *map(_state_of, gc.get_referents(iterator))
    return tuple(map(_state_of, (*arguments, *rest)))


def _state_of(item: Any) -> Any:
    """Return the part of an object to compare, if an iterator refers to it."""
    if isinstance(item, (int, str, range)):
        return item
    if isinstance(item, (list, tuple)) and len(item) < _MAX_COMPARED:
        return tuple(map(_state_of, item))
    if isinstance(item, (MethodType, BuiltinFunctionType)):
        return _state_of(item.__self__)  # `iter(items.pop, None)` takes from its list
    return _position(item) if is_iterator(type(item)) else _Same(item)


class _Same:
    """Wrapper that is compared by the identity of its object."""

    def __init__(self, item: Any) -> None:
        self.item = item

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.item is self.item

    def __hash__(self) -> int:
        return id(self.item)
