"""Replacements for attributes of torch, Python and libraries, which are applied and undone together.

An analysis replaces attributes of classes and modules while forward runs (`recording.replacing` collects the set for a
recording), and so does the code that builds models. The original attributes are restored afterwards, even after an
error. A nested analysis replaces the outer one's replacements, and restores them when it ends. Only one thread at a
time has patches applied; a replacement that is called from another thread behaves like the original.
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
"""A module or class, and the name of one of its attributes."""

ONE_AT_A_TIME = RLock()
"""Held while anything is replaced: otherwise one thread could save another's replacement as the original."""


class Patch(NamedTuple):
    """A replacement of one attribute.

    Attributes:
        owner: a module or class, or a function whose `__code__` is replaced. If a class inherits the attribute, the
            replacement is set on it and deleted afterwards.
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


_CODE = "__code__"
_ABSENT = object()
_IN_FORCE: list[tuple[tuple[Patch, ...], list[tuple[Any, str, Any]]]] = []
"""The applied sets of patches, newest last, each with the owners, names and values of the attributes it replaced."""


@contextmanager
def patched(patches: Iterable[Patch]) -> Iterator[None]:
    """Replace attributes in this context. If one of them can't be replaced, none is."""
    patches = tuple(patches)
    before: list[tuple[Any, str, Any]] = []
    with ONE_AT_A_TIME:
        try:
            for owner, name, replacement, _ in patches:
                original = owner.__code__ if name == _CODE else vars(owner).get(name, _ABSENT)
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

    It is for imports inside forward: a module keeps what it imports (`from torch import tensor`) for good, so it has to
    get the originals.
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
    """Return all patches that are currently applied, newest last."""
    return tuple([patch for patches, _ in _IN_FORCE for patch in patches])


def _restore(before: list[tuple[Any, str, Any]]) -> None:
    # in reverse order, because the first entry of an attribute that was replaced twice has the original
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
    """Set an attribute of a static C type, for which `setattr` raises, in the dict behind its `__dict__` proxy."""
    assert LEGACY_METHODS is not None  # otherwise this type is not patched
    LEGACY_METHODS[name] = value
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(LEGACY_KIND))  # clears the type's attribute cache


def _dict_of(static: type) -> dict[str, Any] | None:
    """The dict behind the read-only proxy that is a type's `__dict__`, found among the objects the proxy refers to."""
    tables = [table for table in gc.get_referents(vars(static)) if type(table) is dict]
    return next((table for table in tables if table.keys() == vars(static).keys()), None)


LEGACY_METHODS = _dict_of(LEGACY_KIND)
"""The methods of `LEGACY_KIND`; None if Python is not CPython, where they can't be replaced."""
