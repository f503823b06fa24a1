"""Replacements for attributes of torch, Python and libraries, which are applied and undone together.

An analysis replaces attributes of classes and modules while forward runs (`recording.replacing` collects them, one set
for a recording); building a model replaces some, too. The original attributes are restored afterwards, also on an
error. A nested analysis replaces the outer one's replacements, and restores these at its end. Only one thread at a
time has patches applied; a replacement that is called from another thread does what the original does.
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
        owner: a module or class. If it inherits the attribute, it gets one of its own, which is deleted afterwards.
        name: the attribute's name.
        replacement: the attribute's value while the patch is applied.
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
"""The applied sets of patches, each with the attributes that it replaced; the newest last."""


@contextmanager
def patched(patches: Iterable[Patch]) -> Iterator[None]:
    """Replace attributes in this context: all or, if one can't be replaced, none."""
    patches = tuple(patches)
    before: list[tuple[Any, str, Any]] = []
    with ONE_AT_A_TIME:
        try:
            for owner, name, replacement, _ in patches:
                original = vars(owner).get(name, _ABSENT)
                _set(owner, name, replacement)
                before.append((owner, name, original))
            _IN_FORCE.append((patches, before))
            try:
                yield
            finally:
                _IN_FORCE.pop()
        finally:
            _restore(before)


@contextmanager
def suspended() -> Iterator[None]:
    """Undo all replacements in this context.

    For imports inside forward: a module binds what it imports (`from torch import tensor`) permanently, so it must find
    the originals.
    """
    for _, before in reversed(_IN_FORCE):
        _restore(before)
    try:
        yield
    finally:
        for patches, _ in _IN_FORCE:
            for owner, name, replacement, _ in patches:
                _set(owner, name, replacement)


def in_force() -> tuple[Patch, ...]:
    """Return all patches that are applied at this moment, the newest last."""
    return tuple([patch for patches, _ in _IN_FORCE for patch in patches])


def _restore(before: list[tuple[Any, str, Any]]) -> None:
    # in reverse: if an attribute was replaced twice, the first entry has the original
    for owner, name, original in reversed(before):
        _set(owner, name, original)


def _set(owner: Any, name: str, value: Any) -> None:
    if owner is LEGACY_KIND:
        _set_on_static_type(name, value)
    elif value is _ABSENT:
        delattr(owner, name)
    else:
        setattr(owner, name, value)


def _set_on_static_type(name: str, value: Any) -> None:
    """Set an attribute of a static C type, where `setattr` raises: in the dict behind the proxy `__dict__`."""
    assert LEGACY_METHODS is not None  # otherwise this type is not patched
    LEGACY_METHODS[name] = value
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(LEGACY_KIND))  # clears the cache of lookups


def _dict_of(static: type) -> dict[str, Any] | None:
    """The dict behind a type's `__dict__`, which is a read-only proxy: the proxy refers to it."""
    tables = [table for table in gc.get_referents(vars(static)) if type(table) is dict]
    return next((table for table in tables if table.keys() == vars(static).keys()), None)


LEGACY_METHODS = _dict_of(LEGACY_KIND)
"""The methods of `LEGACY_KIND`; None on another implementation than CPython, where the methods can't be replaced."""
