"""Attributes of other modules and classes that are replaced while a recording lasts, and given back for imports.

A module that is imported in the middle of forward takes what it finds (`from torch import tensor`), and keeps it for
good: it has to find torch's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

Place: TypeAlias = tuple[Any, str]
"""An owner, and the name of its attribute."""

_ABSENT = object()
_IN_FORCE: list[tuple[Mapping[Place, Any], dict[Place, Any]]] = []
"""What is replaced by what, and what was there before; the newest last."""


@contextmanager
def replaced(table: Mapping[Place, Any]) -> Iterator[None]:
    """Attributes by place are replaced, and afterwards as they were."""
    before = {(owner, name): vars(owner).get(name, _ABSENT) for owner, name in table}
    _put(table)
    _IN_FORCE.append((table, before))
    try:
        yield
    finally:
        _IN_FORCE.pop()
        _put(before)


@contextmanager
def given_back() -> Iterator[None]:
    """While it lasts, all is as it was before anything was replaced."""
    for _, before in reversed(_IN_FORCE):
        _put(before)
    try:
        yield
    finally:
        for table, _ in _IN_FORCE:
            _put(table)


def _put(table: Mapping[Place, Any]) -> None:
    for (owner, name), value in table.items():
        if value is _ABSENT:
            delattr(owner, name)
        else:
            setattr(owner, name, value)
