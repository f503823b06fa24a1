"""Patches attributes of other modules and classes during a recording, and unpatches them during imports.

A module imported in the middle of forward permanently keeps what it imports (`from torch import tensor`), so it must
find torch's own objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

Place: TypeAlias = tuple[Any, str]
"""An owner, and the name of its attribute."""

_ABSENT = object()
_IN_FORCE: list[tuple[Mapping[Place, Any], dict[Place, Any]]] = []
"""Active replacements and the previous values; the newest last."""


@contextmanager
def replaced(table: Mapping[Place, Any]) -> Iterator[None]:
    """Replace attributes in this context."""
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
    """Undo all replacements in this context."""
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
