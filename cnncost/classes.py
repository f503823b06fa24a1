"""Makes all classes hashable for a while.

A metaclass that defines `__eq__` without `__hash__` has classes that can't be keys or be asked `isinstance(…, Mapping)`
about. Models of such classes run, but an analysis asks both of the classes of all objects that a model holds, as
do torch's own helpers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock, get_ident

_LOCK = Lock()
_OPEN: list[int] = []
"""The thread of each context that is open."""
_GIVEN: list[type] = []
"""Metaclasses that have `_by_identity` meanwhile."""


def _by_identity(kind: type) -> int:
    return type.__hash__(kind)


@contextmanager
def classes_hashable() -> Iterator[None]:
    """Hash classes by identity in this context, even if their metaclass forbids it; afterwards it forbids it again."""
    with _LOCK:
        if get_ident() not in _OPEN:
            _give()
        _OPEN.append(get_ident())
    try:
        yield
    finally:
        with _LOCK:
            _OPEN.remove(get_ident())
            if not _OPEN:
                while _GIVEN:
                    type.__setattr__(_GIVEN.pop(), "__hash__", None)


def _give() -> None:
    """Let all metaclasses that forbid hashing allow it, those made since the last context included."""
    pending: list[type] = [type]
    while pending:
        kind = pending.pop()
        pending += type.__subclasses__(kind)
        if vars(kind).get("__hash__", _by_identity) is None:
            with suppress(TypeError):  # written in C, and immutable
                type.__setattr__(kind, "__hash__", _by_identity)
                _GIVEN.append(kind)
