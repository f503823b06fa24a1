"""Iterators held by code outside the model: forward advances them, and they can't be rewound.

If a variable holds an iterator, forward gets a copy. A generator can't be copied, and a nested iterator may be
referenced elsewhere: for these, positions are compared, to detect whether forward advanced them.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, GeneratorType, MethodType
from typing import Any

from cnncost.errors import ForwardError
from cnncost.frontends.torch.rebuilt import rebuilt, state

_OF_PYTHON = ("builtins", "itertools")
_LONG = 10_000
"""Number of items from which a list is compared by identity only."""


class Running:
    """Iterators that are not copied, with their current positions."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, Any, Callable[[], Any], Any]] = []

    def add(self, iterator: Iterator[Any], where: str) -> None:
        """Add an iterator. `where` describes what holds it, for error messages."""
        self.add_position(iterator, where, lambda: _position(iterator))

    def add_position(self, value: Any, where: str, position: Callable[[], Any]) -> None:
        """Add another object that can't be copied; the result of `position` changes when it advances."""
        self._seen.append((where, value, position, position()))

    def check(self) -> None:
        """Raise ForwardError if any has advanced."""
        moved = next(((where, one) for where, one, position, then in self._seen if position() != then), None)
        if moved is None:
            return
        where, iterator = moved
        name = f"generator {iterator.__name__}" if isinstance(iterator, GeneratorType) else type(iterator).__name__
        raise ForwardError(
            f"forward advanced the {name} in {where}, which can't be rewound; create it in forward, or hold an "
            "iterator that can be copied, such as itertools.count(), in an attribute of the module or in a global",
            "",
        )


def is_iterator(kind: type) -> bool:
    """True for Python's own iterator types, including generators."""
    return kind.__module__ in _OF_PYTHON and hasattr(kind, "__next__")


@contextmanager
def quietly(kind: type) -> Iterator[None]:
    """Suppress the warning of Python 3.12 and 3.13, on copying iterators of `itertools`, that 3.14 can't do it."""
    if not is_iterator(kind):
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def copy_of(iterator: Any) -> Any:
    """A copy at the same position, with copies of nested iterators; None if one can't be copied."""
    if isinstance(iterator, GeneratorType):
        return None
    try:
        with quietly(type(iterator)):
            return _by_protocol(iterator)
    except TypeError:
        return rebuilt(iterator, _nested)


def _nested(item: Any) -> Any:
    """Copy an iterator, or a list or tuple that contains iterators; returns other objects themselves.

    None if an iterator can't be copied.
    """
    if is_iterator(type(item)):
        return copy_of(item)
    if type(item) not in {list, tuple} or len(item) >= _LONG or not any(is_iterator(type(each)) for each in item):
        return item
    copies = [copy_of(each) if is_iterator(type(each)) else each for each in item]
    lacking = any(copy is None and each is not None for copy, each in zip(copies, item, strict=True))
    return None if lacking else type(item)(copies)


def _by_protocol(iterator: Any) -> Any:
    """Copy an iterator by `__reduce__`, as `copy` does. Raises TypeError if the iterator does not support it."""
    make, arguments, *rest = iterator.__reduce__()
    if make is iter and len(arguments) > 1:
        return None  # `iter(function, sentinel)`: what the function reads is unknown
    inner = [_nested(item) for item in arguments]
    if any(copy is None and item is not None for copy, item in zip(inner, arguments, strict=True)):
        return None
    made = make(*inner)
    held = rest[0] if rest else None
    if held is not None:
        parts = held if isinstance(held, tuple) else (held,)
        copies = [_nested(item) for item in parts]
        if any(copy is None and item is not None for copy, item in zip(copies, parts, strict=True)):
            return None
        made.__setstate__(tuple(copies) if isinstance(held, tuple) else copies[0])
    return made


def _position(iterator: Any) -> tuple[Any, ...]:
    """An iterator's position, judged by the objects that it refers to. The result holds them: ids are not reused."""
    if isinstance(iterator, GeneratorType):
        frame = iterator.gi_frame
        if frame is None:
            return ()
        held = [
            item for item in gc.get_referents(iterator) if is_iterator(type(item))
        ]  # iterators of its running loops
        return frame.f_lasti, *map(_Same, frame.f_locals.values()), *[_position(item) for item in held]
    try:
        with quietly(type(iterator)):
            _, arguments, *rest = iterator.__reduce__()
    except TypeError:
        return state(iterator), *map(_state_of, gc.get_referents(iterator))
    return tuple(map(_state_of, (*arguments, *rest)))


def _state_of(item: Any) -> Any:
    """What is compared of an object that an iterator refers to."""
    if isinstance(item, (int, str, range)):
        return item
    if isinstance(item, (list, tuple)) and len(item) < _LONG:
        return tuple(map(_state_of, item))
    if isinstance(item, (MethodType, BuiltinFunctionType)):
        return _state_of(item.__self__)  # `iter(items.pop, None)` takes from its list
    return _position(item) if is_iterator(type(item)) else _Same(item)


class _Same:
    """Wrapper compared by identity of its object."""

    def __init__(self, item: Any) -> None:
        self.item = item

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.item is self.item

    def __hash__(self) -> int:
        return id(self.item)
