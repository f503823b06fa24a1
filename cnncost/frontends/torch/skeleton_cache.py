"""Caches skeletons for the next recording of the same model.

Copying modules and registering parameters takes a third of the time of a recording whose ops are all in the memo, and
has the same result unless the user changes the model. It is four times as fast to compare every attribute of the model
and the geometry of every tensor with a snapshot, and to undo the changes that forward made to the copies. A model has
thousands of attributes, so snapshots are long flat lists, which Python compares fast. No user object is kept alive:
originals are referenced weakly, and a skeleton is dropped as soon as one of them dies.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from itertools import chain
from operator import attrgetter, is_, itemgetter
from typing import Any

import torch
from torch import nn

from cnncost.frontends.torch.compat.modules import NOT_SAVED
from cnncost.frontends.torch.compat.tensors import identity_of
from cnncost.frontends.torch.frozen import UnfitError, frozen
from cnncost.frontends.torch.inputs import Inputs
from cnncost.frontends.torch.kinds import ATOMS, slots
from cnncost.frontends.torch.modules import Tracker
from cnncost.frontends.torch.reading import UndetectableError
from cnncost.frontends.torch.recorder import Recorder
from cnncost.frontends.torch.repeats import RecordingKey, Repeats
from cnncost.frontends.torch.skeleton import HOOKS, STANDARD, TABLES, TENSOR_TABLES, Skeleton
from cnncost.frontends.torch.source_tensors import Sources
from cnncost.frontends.torch.surroundings import Reach
from cnncost.frontends.torch.watch import Watch
from cnncost.graph import Graph, verify
from cnncost.session import SESSION

_MAX_CACHED = 4
"""Maximum number of cached skeletons. The least recently used one is evicted first."""

_TENSORS = frozenset({torch.Tensor, nn.Parameter})

_SEQUENCES = frozenset({list, tuple})
_TYPE_OF = attrgetter("shape", "dtype", "requires_grad")
_DICT_OF = attrgetter("__dict__")
_NAME_OF = attrgetter("__name__")
_Attributes = dict[str, Any]
_flat = chain.from_iterable
_not_saved = itemgetter(NOT_SAVED)
_hooks = itemgetter(*[name for name in HOOKS if name != NOT_SAVED])


def _values(tables: Iterable[dict[str, Any]]) -> list[Any]:
    return list(_flat([table.values() for table in tables]))


def _tensors(attributes: list[_Attributes]) -> list[torch.Tensor]:
    """Return the parameters and buffers of modules, whose attributes are given."""
    entries = _values(a[name] for a in attributes for name in TENSOR_TABLES if a[name])
    return [tensor for tensor in entries if tensor is not None]


def _geometry(tensors: list[torch.Tensor]) -> list[Any]:
    """The properties that the tensor table stores. `.data =`, `requires_grad_` and `resize_` change them in place.

    Tensors of a cached skeleton have no Python attributes, so it suffices to check whether any has some now.
    """
    storages = [*map(torch.Tensor.untyped_storage, tensors)]
    return [
        [*map(_TYPE_OF, tensors)],
        [*map(torch.Tensor.stride, tensors)],
        [*map(torch.Tensor.storage_offset, tensors)],
        [*map(identity_of, storages)],
        [*map(torch.UntypedStorage.nbytes, storages)],
        any(map(_DICT_OF, tensors)),
    ]


def _is_plain(modules: list[nn.Module]) -> bool:
    """True if snapshots cover all state of the modules: no slots or hooks, plain tensors, `frozen` values."""
    attributes = [module.__dict__ for module in modules]
    if any(slots(kind) for kind in set(map(type, modules))) or any(STANDARD - a.keys() for a in attributes):
        return False
    if any(map(any, map(_hooks, attributes))):
        return False
    try:
        _frozen_values(attributes)
    except UnfitError:
        return False
    return all(type(t) in _TENSORS and t.layout is torch.strided and not t.__dict__ for t in _tensors(attributes))


def _frozen_values(attributes: list[_Attributes]) -> list[tuple[Any, Any]]:
    """Return attribute values other than numbers, strings and `nn.Module`'s own tables, each with a snapshot.

    Raises:
        UnfitError: no snapshot can be taken of a value.
    """
    tensor_ids = set(map(id, _tensors(attributes)))
    own = [value for a in attributes for name, value in a.items() if name not in STANDARD and type(value) not in ATOMS]
    return [(v, frozen(v, tensor_ids)) for v in own if type(v) not in _SEQUENCES or not _of_atoms(v)]


def _lists(attributes: list[_Attributes]) -> list[tuple[list[Any], list[Any]]]:
    """Return lists of numbers and strings, each with a copy: most modules have one, and `_frozen_values` is slower."""
    return [(v, v.copy()) for v in _values(attributes) if type(v) is list and _of_atoms(v)]


def _of_atoms(items: Any) -> bool:
    return ATOMS.issuperset(map(type, items))


def _unchanged(frozen_values: list[tuple[Any, Any]], tensors: set[int]) -> bool:
    try:
        return all(frozen(value, tensors) == then for value, then in frozen_values)
    except UnfitError:
        return False


class _ModuleSnapshot:
    """Snapshot of modules: all attributes, and contents of tables and lists. It has no reference to the modules."""

    def __init__(self, modules: list[nn.Module]) -> None:
        self.attributes: list[_Attributes] = [module.__dict__ for module in modules]
        self._names, self._lengths = list(_flat(self.attributes)), list(map(len, self.attributes))
        self._values = _values(self.attributes)
        self._tables = [a[name] for a in self.attributes for name in TABLES]
        self._keys, self._value_ids = list(_flat(self._tables)), list(map(id, _values(self._tables)))
        self._sizes = list(map(len, self._tables))
        self._not_saved = list(map(set, map(_not_saved, self.attributes)))
        self._tensor_ids = set(map(id, _tensors(self.attributes)))
        self._lists, self._frozen = _lists(self.attributes), _frozen_values(self.attributes)

    def same(self, modules: list[nn.Module]) -> bool:
        """Return True if nothing has changed since the snapshot was taken. Objects are compared by identity."""
        if not all(map(is_, [module.__dict__ for module in modules], self.attributes)):
            return False
        values = _values(self.attributes)
        return (
            list(_flat(self.attributes)) == self._names
            and list(map(len, self.attributes)) == self._lengths
            and all(map(is_, values, self._values))
            and list(map(id, _values(self._tables))) == self._value_ids
            and list(_flat(self._tables)) == self._keys
            and list(map(len, self._tables)) == self._sizes  # an item may have moved from one table to the next
            and list(map(_not_saved, self.attributes)) == self._not_saved
            and not any(map(any, map(_hooks, self.attributes)))
            and all(len(now) == len(then) and all(map(is_, now, then)) for now, then in self._lists)
            and _unchanged(self._frozen, self._tensor_ids)
        )


class _ModuleCopies:
    """Copied modules, with their state before anything ran on them."""

    def __init__(self, modules: list[nn.Module]) -> None:
        self.modules = modules
        self._classes = list(map(type, modules))
        self._attributes = [(module.__dict__, module.__dict__.copy()) for module in modules]
        tables = [a[name] for a, _ in self._attributes for name in TABLES]
        self._tables = [(table, table.copy()) for table in tables if table]
        self._empty = [table for table in tables if not table]
        own = [a for a, _ in self._attributes]
        self._lists, self._frozen = _lists(own), _frozen_values(own)
        self.tensors = _tensors(own)
        self._tensor_ids = set(map(id, self.tensors))
        self._geometry = _geometry(self.tensors)

    def restore(self) -> bool:
        """Undo forward's changes to the copies; return False if some can't be undone."""
        for module, (attributes, then) in zip(self.modules, self._attributes, strict=True):
            if module.__dict__ is not attributes:
                return False
            attributes.update(then)
            if len(attributes) != len(then):
                _refill(attributes, then)
        for table, then in self._tables:
            _refill(table, then)
        if any(self._empty):
            for table in self._empty:
                table.clear()
        for now, items in self._lists:
            now[:] = items
        if not _unchanged(self._frozen, self._tensor_ids):
            return False
        return list(map(type, self.modules)) == self._classes and _geometry(self.tensors) == self._geometry


def _refill(table: dict[str, Any], then: dict[str, Any]) -> None:
    table.clear()
    table.update(then)


class CachedSkeleton:
    """A skeleton and its tensor table, in the state before anything ran on it.

    Args:
        originals: the user's modules, the model first.
        skeleton: the copies of these modules.
        tracker: the tracker whose tensor table has the copies' parameters and buffers.
        reach: objects outside the model that its code can reach.
        forget: called when one of the user's modules or tensors dies.
    """

    def __init__(
        self,
        originals: list[nn.Module],
        skeleton: Skeleton,
        tracker: Tracker,
        reach: Reach,
        forget: Callable[[], object],
    ) -> None:
        dead = self._dead = set[bool]()  # the callback must not refer to `self`, which would keep it alive

        def died(_: object) -> None:
            dead.add(True)
            forget()

        self.skeleton = skeleton
        self._reach = reach
        self._own = frozenset(map(id, originals))
        self._scopes, self._index = tuple(tracker.scopes), tracker.index.copy()
        self._sources = Sources(tracker.recorder.ledger)
        self._originals = [weakref.ref(module, died) for module in originals]
        self._snapshot = _ModuleSnapshot(originals)
        self._copies = _ModuleCopies([skeleton.copy_of(module) for module in originals])
        self._class_names = list(map(_NAME_OF, map(type, originals)))
        tensors = _tensors(self._snapshot.attributes)
        self._watched = [weakref.ref(tensor, died) for tensor in tensors]
        self._geometry = _geometry(tensors)
        self._data = [(key, weakref.ref(tensor)) for key, tensor in skeleton.data.items()]
        self._graph: Graph | None = None
        self.repeats = Repeats(originals)

    @property
    def model(self) -> nn.Module:
        """The copy of the model."""
        return self._copies.modules[0]

    def open(self, use_memo: bool) -> Tracker:
        """Return a tracker with a new tensor table in which the model's parameters and buffers are registered."""
        data = {key: tensor for key, ref in self._data if (tensor := ref()) is not None}
        recorder = Recorder(use_memo, self.skeleton, self._sources.open(data), data)
        recorder.masks.sources = [self._tensors]
        last = self._graph.scopes if self._graph is not None else ()
        return Tracker(recorder, self._scopes, self._index, last if len(last) == len(self._scopes) else ())

    def _tensors(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return pairs of a user's tensor and its copy, for those that are still alive."""
        alive = [tensor for watched in self._watched if (tensor := watched()) is not None]
        return [(tensor, self.skeleton.copy_of(tensor)) for tensor in alive]

    def watch(self) -> Watch | None:
        """Return a snapshot of the state outside the model, to restore after the recording; None if there is none."""
        return Watch(self._reach, self._own) if not self._reach.is_empty() else None

    def clean(self, created: list[weakref.ref[torch.Tensor]]) -> bool:
        """Restore the copies if a tensor in `created`, those of the recording, is still alive. False if that fails."""
        return all(tensor() is None for tensor in created) or self._copies.restore()

    def reuse_if_equal(self, graph: Graph) -> Graph:
        """Return the last recording's Graph, which has cached results, if it equals `graph`; else verify `graph`."""
        if self._graph != graph:
            self._graph = verify(graph)
        return self._graph

    def key_of(self, inputs: Inputs, *others: Any) -> RecordingKey | None:
        """Return everything on which a recording's Graph depends; None if that can't be compared between recordings."""
        buffers = [tensor for _, reference in self._data if (tensor := reference()) is not None]
        try:
            return RecordingKey(inputs, others, buffers)
        except UndetectableError:
            return None

    def restore(self) -> bool:
        """Restore the copies before they run again; return False if they can't be restored."""
        return self._copies.restore()

    def unchanged(self) -> bool:
        """Return True if the user's model is as it was when it was copied."""
        originals = [module for ref in self._originals if (module := ref()) is not None]
        return (
            not self._dead
            and list(map(type, originals)) == list(map(type, self._copies.modules))
            and list(map(_NAME_OF, map(type, originals))) == self._class_names
            and self._snapshot.same(originals)
            and _geometry(_tensors(self._snapshot.attributes)) == self._geometry
            and self._reach.is_current()
        )


_Key = tuple[int, bool | None]
_CACHE: dict[_Key, CachedSkeleton] = {}
_SEEN: dict[_Key, weakref.ref[nn.Module]] = {}
"""Models that have been recorded. Their skeletons are cached from the second recording on."""


def clear() -> None:
    """Empty the cache."""
    _CACHE.clear()
    _SEEN.clear()


SESSION.own("skeletons", lambda: len(_CACHE), clear)


def acquire(model: nn.Module, train: bool | None) -> CachedSkeleton | None:
    """Take a model's skeleton out of the cache, to which `store` returns it after a successful recording.

    None if there is none, or the model has changed.
    """
    cached = _CACHE.pop((id(model), train), None)
    if cached is None or cached.unchanged():
        return cached
    _SEEN.pop((id(model), train), None)  # a model that keeps changing is not worth a snapshot
    return None


def renew(cached: CachedSkeleton, model: nn.Module, train: bool | None) -> bool:
    """Undo what the last forward did to the copies; return False if that can't be done."""
    if cached.restore():
        return True
    _SEEN.pop((id(model), train), None)
    return False


def store(model: nn.Module, train: bool | None, cached: CachedSkeleton) -> None:
    """Store a skeleton for the next recording."""
    _CACHE[id(model), train] = cached
    while len(_CACHE) > _MAX_CACHED:
        _CACHE.pop(next(iter(_CACHE)), None)


def prepare(
    originals: list[nn.Module], train: bool | None, skeleton: Skeleton, tracker: Tracker, reach: Reach
) -> CachedSkeleton | None:
    """Prepare a skeleton for the cache before anything runs on it.

    None if this is the model's first recording, or snapshots would not cover its state.
    """
    model = originals[0]
    key = (id(model), train)
    seen = _SEEN.get(key)
    if seen is None or seen() is not model:
        _SEEN[key] = weakref.ref(model, lambda _: _SEEN.pop(key, None))
        return None
    if not _is_plain(originals):
        return None
    return CachedSkeleton(originals, skeleton, tracker, reach, lambda: _CACHE.pop(key, None))
