"""Takes snapshots of the objects around a model before a recording, and restores the objects afterwards.

Watched objects are not copied, and forward may write to them: a cache in a global, a class attribute, an object's
`__dict__`. Afterwards each object is compared with its snapshot, item by item and by identity, and restored in place.
"""

from __future__ import annotations

from argparse import Namespace
from collections import ChainMap, OrderedDict, UserDict, UserList, deque
from collections.abc import Callable, Container, Iterator
from configparser import RawConfigParser, SectionProxy
from contextlib import contextmanager
from functools import partial
from operator import is_
from queue import Queue
from threading import local
from types import BuiltinFunctionType, FunctionType, MemberDescriptorType, MethodType, SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

import torch
from torch import nn

from cnncost.frontends.torch.iterators import Unrewindable, copy_of, is_iterator
from cnncost.frontends.torch.kinds import ATOMS, is_system_module, slots
from cnncost.frontends.torch.states import RandomState, Undo, closed_check, position, undo_of
from cnncost.frontends.torch.surroundings import Reach
from cnncost.frontends.torch.variables import ABSENT, describe, set_value, value_of

_MAX_WATCHED = 20_000
"""Maximum number of objects to watch."""
_LONG = 10_000
"""Containers with at least this many items are watched without their items."""
_STATEFUL = (
    UserDict, UserList, ChainMap, WeakKeyDictionary, WeakValueDictionary, WeakSet, SimpleNamespace, Namespace,
    RawConfigParser, SectionProxy, local, Queue,
)  # fmt: skip
"""Classes of the standard library in which models keep state. Attributes of their instances are watched."""

_FUNCTIONS = frozenset({FunctionType, MethodType, BuiltinFunctionType, partial})
"""Types that are not watched, because `surroundings.py` follows functions to the variables that they use."""


class Watch:
    """A snapshot of the state around a model.

    Args:
        reach: the outside state that the model's code reaches.
        own: ids of the modules that are copied, whose contents are not watched.

    Attributes:
        ids: watched objects, which must not be copied, by `id`.
        unrewindable: iterators, queues and files that may advance in a way that can't be undone.
    """

    def __init__(self, reach: Reach, own: Container[int] = ()) -> None:
        self.ids: dict[int, Any] = {}
        self._own = own
        self._undo: list[tuple[str, Undo]] = []
        self._where = ""
        """Where the objects were found that are being added, for messages."""
        self._generators: list[RandomState] = []
        self.unrewindable = Unrewindable()
        self._lent: dict[int, Any] = {}
        """Copies of iterators that replace those in variables, by the variable's index."""
        self._variables = [(variable, value_of(variable)) for variable in reach.variables]
        self._classes = [(kind, len(vars(kind))) for kind in reach.classes]
        # misses and not sizes, because a full cache drops an entry for each one that it adds
        self._caches = [(function, function.cache_info().misses) for function in reach.caches]
        for variable, value in self._variables:
            if is_iterator(type(value)) and copy_of(value) is not None:
                continue  # `lend` gives forward a copy
            if type(value) not in ATOMS:
                self._where = describe(variable)
                self._watch_all(value)
        for value in reach.held:
            self._where = "an attribute or default argument of a function"
            self._watch_all(value)

    def add(self, value: Any, where: str) -> None:
        """Watch another object, which can't be copied."""
        self._where = where
        self._watch_all(value)

    def lend(self, copy: Callable[[Any], Any]) -> None:
        """Replace iterators in variables with copies until `restore`. `copy` returns the skeleton's copy, or None."""
        for i, (variable, value) in enumerate(self._variables):
            if is_iterator(type(value)) and (lent := copy(value) or copy_of(value)) is not None:
                self._lent[i] = lent
                set_value(variable, lent)

    def has_drawn(self) -> bool:
        """True if a watched random generator of Python or NumPy was drawn from."""
        return any(generator.moved() for generator in self._generators)

    def restore(self) -> list[str]:
        """Restore everything, and return descriptions of what had changed."""
        changed: dict[str, None] = {}
        for where, undo in self._undo:
            if undo():
                changed[where] = None
        for i, (variable, value) in enumerate(self._variables):
            if (now := value_of(variable)) is not value:
                set_value(variable, value)
                if now is not self._lent.get(i, ABSENT):
                    changed[describe(variable)] = None
        for kind, count in self._classes:
            for name in list(vars(kind))[count:]:  # new attributes come last
                type.__delattr__(kind, name)  # bypasses a metaclass's `__delattr__`
                changed[f"the class attribute {kind.__name__}.{name}"] = None
        for function, misses in self._caches:
            if function.cache_info().misses != misses:
                function.cache_clear()
                changed[f"the cache of {function.__name__}"] = None
        return list(changed)

    # ---- one object

    def _watch_all(self, root: Any) -> None:
        pending = [root]
        while pending and len(self.ids) < _MAX_WATCHED:
            value = pending.pop()
            kind = type(value)
            if kind in ATOMS or kind in _FUNCTIONS or id(value) in self.ids:
                continue
            if is_iterator(kind):
                self.ids[id(value)] = value
                self.unrewindable.add(value, self._where)
                continue
            if isinstance(value, nn.Module):
                if id(value) not in self._own:
                    self.ids[id(value)] = value
                    self._table(value.__dict__, pending)
            elif isinstance(value, torch.Tensor):
                self._tensor(value)
            else:
                self.ids[id(value)] = value
                self._other(value, kind, pending)

    def _other(self, value: Any, kind: type, pending: list[Any]) -> None:
        """Watch an object that is neither a module nor a tensor, and add its contents to `pending`."""
        if isinstance(value, dict):
            self._table(value, pending)
        elif isinstance(value, (list, deque)):
            self._sequence(value, pending)
        elif isinstance(value, set):
            self._set(value)
        elif isinstance(value, (tuple, frozenset)):
            pending.extend(value if len(value) < _LONG else ())
            return
        elif (read_position := position(value)) is not None:
            self.unrewindable.add_position(value, self._where, read_position)
            return
        elif (undo := undo_of(value, kind)) is not None:
            self._note(undo)
            if (is_closed := closed_check(value)) is not None:  # a closed file can't be reopened
                self.unrewindable.add_position(value, self._where, is_closed)
            if isinstance(undo, RandomState):
                self._generators.append(undo)
            return
        elif _is_opaque(value, kind):
            return
        if kind not in _BUILT_IN:
            self._attributes(value, kind, pending)

    def _attributes(self, value: Any, kind: type, pending: list[Any]) -> None:
        table = getattr(value, "__dict__", None)
        if type(table) is dict:
            self._table(table, pending)
        names = slots(kind)
        if names and not is_system_module(kind.__module__):
            self._slots(value, names, pending)

    def _note(self, undo: Undo) -> None:
        """Register how to undo changes to an object that was found at `_where`."""
        self._undo.append((self._where, undo))

    def _table(self, table: dict[Any, Any], pending: list[Any]) -> None:
        base: Any = OrderedDict if isinstance(table, OrderedDict) else dict
        keys, values = _items(table, base)

        def undo() -> bool:
            if dict.__len__(table) == len(keys):
                now = _items(table, base)
                if all(map(is_, now[1], values)) and all(map(is_, now[0], keys)):
                    return False
            base.clear(table)
            for key, value in zip(keys, values, strict=True):
                base.__setitem__(table, key, value)
            return True

        self._note(undo)
        if len(values) < _LONG:
            pending.extend(v for v in values if type(v) not in ATOMS)

    def _sequence(self, items: Any, pending: list[Any]) -> None:
        base: Any = list if isinstance(items, list) else deque
        then = list(base.__iter__(items))

        def undo() -> bool:
            if len(items) == len(then) and all(map(is_, base.__iter__(items), then)):
                return False
            base.clear(items)
            base.extend(items, then)
            return True

        self._note(undo)
        if len(then) < _LONG:
            pending.extend(v for v in then if type(v) not in ATOMS)

    def _set(self, items: set[Any]) -> None:
        then = list(set.__iter__(items))

        def undo() -> bool:
            if set.__len__(items) == len(then) and set(map(id, set.__iter__(items))) == set(map(id, then)):
                return False
            set.clear(items)
            set.update(items, then)
            return True

        self._note(undo)

    def _slots(self, value: Any, names: tuple[str, ...], pending: list[Any]) -> None:
        # a subclass may have replaced a slot with a property
        plain = [name for name in names if type(getattr(type(value), name, None)) is MemberDescriptorType]
        then = {name: getattr(value, name, ABSENT) for name in plain}

        def undo() -> bool:
            changed = False
            for name, was in then.items():
                if getattr(value, name, ABSENT) is not was:
                    changed = True
                    # `object`'s methods, because the class may forbid assignments (a frozen dataclass)
                    object.__delattr__(value, name) if was is ABSENT else object.__setattr__(value, name, was)
            return changed

        self._note(undo)
        pending.extend(v for v in then.values() if v is not ABSENT and type(v) not in ATOMS)

    def _tensor(self, tensor: torch.Tensor) -> None:
        """Watch the state that assignments to `.data`, `.grad` and attributes, or `requires_grad_`, would change."""
        self.ids[id(tensor)] = tensor
        if tensor.is_meta or tensor.layout is not torch.strided:
            return
        data, requires_grad, leaf = tensor.detach(), tensor.requires_grad, tensor.is_leaf
        attributes = dict(tensor.__dict__)
        grad = tensor.grad if leaf else None

        def undo() -> bool:
            changed = False
            if tensor.is_meta or tensor.data_ptr() != data.data_ptr() or tensor.shape != data.shape:
                tensor.data = data
                changed = True
            if leaf and (not tensor.is_leaf or tensor.requires_grad != requires_grad):
                tensor.detach_().requires_grad_(requires_grad)
                changed = True
            if leaf and tensor.grad is not grad:
                tensor.grad = grad
                changed = True
            if not _same_table(tensor.__dict__, attributes):
                tensor.__dict__.clear()
                tensor.__dict__.update(attributes)
                changed = True
            return changed

        self._note(undo)


def _is_opaque(value: Any, kind: type) -> bool:
    """True for an object of Python or torch whose attributes are not watched, because they hold no state of a model."""
    return (
        is_system_module(kind.__module__)
        and not isinstance(value, _STATEFUL)
        and not kind.__module__.startswith("torch.distributed")
    )


_BUILT_IN = frozenset({dict, list, set, deque, OrderedDict, tuple, frozenset})


def _items(table: dict[Any, Any], base: Any) -> tuple[list[Any], list[Any]]:
    """Return keys and values in order, bypassing overrides in subclasses."""
    if base is dict:
        return list(dict.keys(table)), list(dict.values(table))
    keys = list(OrderedDict.__iter__(table))
    return keys, [dict.__getitem__(table, key) for key in keys]


def _same_table(now: dict[str, Any], then: dict[str, Any]) -> bool:
    return now.keys() == then.keys() and all(map(is_, now.values(), then.values()))


@contextmanager
def watching(watch: Watch, skeleton_copy: Callable[[Any], Any]) -> Iterator[list[str]]:
    """Context in which to run forward. On exit everything is restored, and the yielded list describes the changes.

    Watched dicts and sets that have the model's modules or tensors as keys also get the copies as keys, because forward
    runs on the copies and may look up `self`. `skeleton_copy` returns an object's copy, or None.

    Raises:
        ForwardError: forward advanced an iterator that can't be restored.
    """
    restored: list[str] = []
    watch.lend(skeleton_copy)
    added = list(_entries_for_copies(watch, skeleton_copy)) if watch.ids else []
    for table, copy, value in added:
        if isinstance(table, _SETS):
            table.add(copy)
        else:
            table[copy] = value
    try:
        yield restored
    finally:
        for table, copy, _ in added:
            if isinstance(table, _SETS):
                table.discard(copy)
            else:
                table.pop(copy, None)
        restored.extend(watch.restore())
    watch.unrewindable.check()


_SETS = (set, WeakSet)


def _entries_for_copies(watch: Watch, skeleton_copy: Callable[[Any], Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Yield each dict or set that has a module or tensor as a key, with the copy of the key, and the key's value."""
    for value in list(watch.ids.values()):
        if isinstance(value, (dict, WeakKeyDictionary, *_SETS)):
            for key in list(dict.keys(value)) if isinstance(value, dict) else list(value):
                if isinstance(key, (nn.Module, torch.Tensor)) and (copy := skeleton_copy(key)) is not None:
                    yield value, copy, None if isinstance(value, _SETS) else value[key]
