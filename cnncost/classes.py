"""Makes all classes hashable during an analysis.

If a metaclass defines `__eq__` without `__hash__`, its classes can't be dict keys, and `isinstance` checks against an
abstract base class, such as `Mapping`, raise for their instances. Models that contain such classes run, but an analysis
needs both operations for every object that a model holds, and so do torch's own helpers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock, get_ident

_LOCK = Lock()
_OPEN: list[int] = []
"""The thread identifier of each open context."""
_PATCHED: list[type] = []
"""Metaclasses whose `__hash__` is `_hash_by_identity` while a context is open."""


def _hash_by_identity(kind: type) -> int:
    return type.__hash__(kind)


@contextmanager
def classes_hashable() -> Iterator[None]:
    """Hash classes by identity in this context, even those whose metaclass forbids hashing before and afterwards."""
    with _LOCK:
        if get_ident() not in _OPEN:  # a nested context has nothing to patch
            _patch_metaclasses()
        _OPEN.append(get_ident())
    try:
        yield
    finally:
        with _LOCK:
            _OPEN.remove(get_ident())
            if not _OPEN:
                while _PATCHED:
                    type.__setattr__(_PATCHED.pop(), "__hash__", None)


def _patch_metaclasses() -> None:
    """Let all metaclasses that forbid hashing allow it, including those created since the last context.

    The functions of `type` itself are called, because a metaclass may override them.
    """
    pending: list[type] = [type]
    while pending:
        kind = pending.pop()
        pending += type.__subclasses__(kind)
        if vars(kind).get("__hash__", _hash_by_identity) is None:  # set by Python if a class defines only `__eq__`
            with suppress(TypeError):  # metaclasses written in C are immutable
                type.__setattr__(kind, "__hash__", _hash_by_identity)
                _PATCHED.append(kind)
