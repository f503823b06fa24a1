"""Find tensors that outlive their recording, and the user's object that keeps a reference to them.

State outside the model that the recording has found is restored after it. Other state (a cache in a library, an
object that can't be inspected) would keep tensors without data, and the next real call would fail on them.
"""

from __future__ import annotations

import gc
import sys
import traceback
from collections import deque
from collections.abc import Iterable
from logging import LogRecord
from types import CellType, FrameType, FunctionType, GeneratorType, MethodType, TracebackType
from typing import Any
from weakref import ref

import torch

from cnncost.errors import ForwardError

_MAX_DEPTH = 6
"""Maximum number of containers around a tensor that are searched for a named owner."""
_MAX_CONTAINERS = 5000
"""Maximum number of containers to search at each level."""
_GLOBALS = "the globals of "
_OWN_PACKAGES = frozenset({"torch", "cnncost", "builtins"})
"""Packages whose own references, to tensors or to handled errors, are not a cache of the user's."""
_CONTAINERS = (dict, list, set, tuple, deque)
_NAMELESS = (CellType, FunctionType, MethodType, BaseException)
"""Classes of objects that would not show the user which cache is meant."""
_TRANSIENT = (FrameType, GeneratorType, TracebackType)
"""Classes of objects that hold tensors only while code runs."""


def clear(tensors: Iterable[ref[torch.Tensor]], name: str, error: BaseException | None) -> None:
    """Make sure that none of these tensors is alive.

    Args:
        tensors: those of the recording.
        name: the model's name, for messages.
        error: the recording's error, if any; its frames may hold tensors.

    Raises:
        ForwardError: an object that can't be restored holds some. They are removed from it first.
    """
    if not _alive(tensors):
        return
    _release_frames(error)
    gc.collect(0)  # garbage collection was off: everything created since is in generation 0
    alive = _alive(tensors)
    if not alive:
        return
    search = _Search(alive)
    found = [holder for tensor in alive if (holder := _remove(tensor, search))]
    if error is not None:  # references in a failed forward's frames go away with the error
        found = [holder for holder in found if holder.startswith(_GLOBALS)]
    if not found:
        return
    holders = dict.fromkeys(found)
    raise ForwardError(
        f"{name}: forward left tensors without data in {', '.join(holders)}, which can't be restored; they were "
        "removed from it. Empty that cache before the next real call, and keep forward's caches in attributes of "
        "modules or in dicts, which an analysis can restore",
        "",
    )


def _release_frames(error: BaseException | None) -> None:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _alive(tensors: Iterable[ref[torch.Tensor]]) -> list[torch.Tensor]:
    return [tensor for reference in tensors if (tensor := reference()) is not None]


def _remove(tensor: torch.Tensor, search: _Search) -> str:
    """Remove a tensor from the containers that hold it, and return a description of their owner; else empty."""
    description = ""
    for holder in search.holders(tensor):
        if owner := search.owner(holder):
            description = description or owner
            _remove_from(holder, tensor)
    return description


def _remove_from(holder: Any, tensor: torch.Tensor) -> None:
    if isinstance(holder, dict):
        for key in [k for k, v in dict.items(holder) if v is tensor]:
            dict.pop(holder, key)
    elif isinstance(holder, list):
        holder[:] = [item for item in holder if item is not tensor]
    elif isinstance(holder, set):
        holder.discard(tensor)


class _Search:
    """Finds the holders of objects, and the holders of those: each level is one pass over all of Python's objects.

    Only containers are followed further: references from frames, cells and our own objects end with the recording.
    """

    def __init__(self, objects: list[Any]) -> None:
        self._holders: dict[int, list[Any]] = {}
        self._ours = {id(self._holders)}
        for _ in range(_MAX_DEPTH + 1):
            objects = self._find_holders(objects)
            if not objects:
                break

    def _find_holders(self, objects: list[Any]) -> list[Any]:
        """Store the holders of these objects, and return the containers among them, to be searched next."""
        self._ours.add(id(objects))
        for item in objects:
            holders = self._holders[id(item)] = []
            self._ours.add(id(holders))
        arguments = tuple(objects)  # a name for it, to exclude it: since Python 3.13, it is among the referrers
        referrers, containers = gc.get_referrers(*arguments), list[Any]()
        self._ours |= {id(arguments), id(referrers), id(containers)}
        ids = set(map(id, objects))
        for referrer in referrers:
            if isinstance(referrer, _TRANSIENT) or id(referrer) in self._ours:
                continue
            for identity in ids.intersection(map(id, gc.get_referents(referrer))):
                self._holders[identity].append(referrer)
            if isinstance(referrer, _CONTAINERS) and id(referrer) not in self._holders and not _globals_of(referrer):
                containers.append(referrer)
        return containers[:_MAX_CONTAINERS]

    def holders(self, value: Any) -> list[Any]:
        """Return the holders found for an object."""
        return self._holders.get(id(value), [])

    def owner(self, holder: Any) -> str:
        """Describe the nearest named owner of a container: a module's globals or an object. Empty if there is none."""
        level: list[Any] = [holder]
        for _ in range(_MAX_DEPTH):
            next_level: list[Any] = []
            for value in level:
                if isinstance(value, LogRecord):
                    _format_message(value)
                    return ""
                if name := _globals_of(value):
                    return "" if _is_own_package(name) else _GLOBALS + name
                if isinstance(value, _CONTAINERS):
                    next_level.extend(self.holders(value))
                elif not isinstance(value, _NAMELESS) and not _is_own_package(type(value).__module__):
                    return f"an object of the class {type(value).__module__}.{type(value).__qualname__}"
            level = next_level
        return ""


def _globals_of(value: Any) -> str:
    """Return the name of the Python module if a value is a module's globals; else an empty string."""
    is_globals = isinstance(value, dict) and "__builtins__" in value and value.get("__name__") in sys.modules
    return str(value["__name__"]) if is_globals else ""


def _format_message(record: LogRecord) -> None:
    """Format a log record that a handler keeps, so that it no longer references its arguments."""
    record.msg, record.args = record.getMessage(), ()


def _is_own_package(module: str) -> bool:
    return module.partition(".")[0] in _OWN_PACKAGES
