"""Everything that is replaced in torch, Python and libraries: as records, which are entered and left together.

An analysis replaces attributes of classes and modules while forward runs (`recording.replacing` collects them, one set
for a recording); building a model replaces some, too. The original attributes are restored afterwards, also on an
error. A nested analysis replaces the outer one's replacements, and restores those. Only one thread at a time has
patches in force; a replacement that is called from another thread does what the original does.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any, NamedTuple, TypeAlias

from cnncost.frontends.torch.compat.tensors import LEGACY_KIND

Place: TypeAlias = tuple[Any, str]
"""An owner (a module, a class), and the name of its attribute."""

ONE_AT_A_TIME = RLock()
"""Held while anything is replaced: otherwise two threads would restore each other's replacements."""


class Patch(NamedTuple):
    """A replacement of one attribute.

    Attributes:
        owner: a module or class. An attribute that it inherits is added to it, and deleted afterwards.
        name: the attribute's name.
        replacement: the attribute's value while the patch is in force.
        why: what an analysis would miss or get wrong without it.
    """

    owner: Any
    name: str
    replacement: Any
    why: str

    @property
    def place(self) -> Place:
        """Owner and name of the attribute."""
        return self.owner, self.name


_ABSENT = object()
_IN_FORCE: list[tuple[tuple[Patch, ...], list[tuple[Any, str, Any]]]] = []
"""The sets that are in force, each with what it replaced; the newest last."""


@contextmanager
def patched(patches: Iterable[Patch]) -> Iterator[None]:
    """Replace attributes in this context: all or, if one can't be replaced, none."""
    patches = tuple(patches)
    before: list[tuple[Any, str, Any]] = []
    with ONE_AT_A_TIME:
        try:
            for owner, name, replacement, _ in patches:
                was = vars(owner).get(name, _ABSENT)
                _put(owner, name, replacement)
                before.append((owner, name, was))
            _IN_FORCE.append((patches, before))
            try:
                yield
            finally:
                _IN_FORCE.pop()
        finally:
            _put_back(before)


@contextmanager
def suspended() -> Iterator[None]:
    """Undo all replacements in this context.

    A module imported in the middle of forward keeps what it imports (`from torch import tensor`) for good, so it must
    find the originals.
    """
    for _, before in reversed(_IN_FORCE):
        _put_back(before)
    try:
        yield
    finally:
        for patches, _ in _IN_FORCE:
            for owner, name, replacement, _ in patches:
                _put(owner, name, replacement)


def in_force() -> tuple[Patch, ...]:
    """All replacements at this moment, the newest last."""
    return tuple([patch for patches, _ in _IN_FORCE for patch in patches])


def _put_back(before: list[tuple[Any, str, Any]]) -> None:
    for owner, name, was in reversed(before):  # of two for one place, the first has the original
        _put(owner, name, was)


def _put(owner: Any, name: str, value: Any) -> None:
    if owner is LEGACY_KIND:
        _put_into_static(name, value)
    elif value is _ABSENT:
        delattr(owner, name)
    else:
        setattr(owner, name, value)


def _put_into_static(name: str, value: Any) -> None:
    """Assign a method of a static class, which Python refuses, in the dict behind its `__dict__`."""
    assert LEGACY_METHODS is not None  # else nothing of it is replaced
    LEGACY_METHODS[name] = value
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(LEGACY_KIND))  # lookups are cached


def _dict_of(static: type) -> dict[str, Any] | None:
    found = [table for table in gc.get_referents(vars(static)) if type(table) is dict]
    return next((table for table in found if table.keys() == vars(static).keys()), None)


LEGACY_METHODS = _dict_of(LEGACY_KIND)
"""The methods of `LEGACY_KIND`; None on another implementation than CPython, where they can't be replaced."""
