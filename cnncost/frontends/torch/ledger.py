"""The recorder's tensor table: maps tensors to values and tracks the live range of each storage.

Tensors are looked up by identity and referenced weakly, so a storage dies in the recording
exactly when eager Python would free it; memory figures depend on that.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from functools import partial

import torch

from cnncost.frontends.torch import sparse
from cnncost.frontends.torch.blocks import StorageRecord, StorageRef, TrackedTensor, storage_bytes, storage_key
from cnncost.frontends.torch.compat.tensors import identity_of
from cnncost.frontends.torch.meta import is_meta
from cnncost.frontends.torch.types import Signature, signature
from cnncost.frontends.torch.wrappers import own_part
from cnncost.graph import Owned, Role, Storage, TensorType, Use, Value

_STRIDED = torch.strided


class TensorTable:
    """Values and storages of one recording. `clock`: the current node's index; `tracked`: entries by tensor `id`."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.tracked: dict[int, TrackedTensor] = {}
        self.clock = 0
        self._blocks: list[StorageRecord] = []
        self._by_key: dict[int, StorageRecord] = {}
        self._alive: list[torch.Tensor] = []
        self._aliases: dict[int, StorageRef] = {}
        self.source_storages: tuple[Storage, ...] = ()
        """Storages of the sources, in a table that starts from some: they live through the whole run."""

    def add_source(
        self, tensor: torch.Tensor, role: Role, data: torch.Tensor | None = None, *, lasts: bool = True
    ) -> TrackedTensor:  # fmt: skip
        """Register a tensor that exists before the first node; unless `lasts`, it may die during the run.

        `data` holds its values, if ops may run on them: the tensor itself, or the user's tensor that it represents. It
        belongs to the user and is never written to. Tensors on a registered storage (flattened weights) share it.
        """
        if lasts := lasts or tensor.layout is not _STRIDED:  # the death of a sparse source is not observed
            self._alive.append(tensor)
        if is_strided := tensor.layout is _STRIDED:
            storage = tensor.untyped_storage()
            key, nbytes = identity_of(storage), storage.nbytes()
        else:
            key, nbytes = storage_key(tensor), storage_bytes(tensor)
            if tensor.layout in sparse.LAYOUTS:
                nbytes += sparse.stored(tensor)[1]
        block = self._by_key.get(key)
        if block is None:
            block = StorageRecord(len(self._blocks), nbytes, None, data is not None, role)
            self._by_key[key] = block
            self._blocks.append(block)
            if not is_strided:
                self._add_indices(tensor, block)
            if not lasts:
                self._watch(storage, block)
        block.grad = grad = tensor.requires_grad
        index, sig = len(self.values), signature(tensor, data is not None, grad)
        block.tensor = id(tensor)
        self.values.append(Value(index, sig.type, block.index, role))
        tracked = self.tracked[id(tensor)] = TrackedTensor(
            weakref.ref(tensor), index, sig, block, block.version, None if data is tensor else data
        )
        return tracked

    def add_owned(
        self, tensors: Mapping[str, torch.Tensor | None], role: Role, values: dict[int, torch.Tensor]
    ) -> tuple[Owned, ...]:
        """Register a module's parameters or buffers; a registered tensor only gets another name."""
        tracked, owned = self.tracked, []
        for name, tensor in tensors.items():
            if tensor is None:
                continue
            part = own_part(tensor)
            entry = tracked.get(id(part))  # all sources are kept alive, so ids are not reused
            if entry is None:
                entry = self.add_source(part, role, values.get(id(part)))
            owned.append(Owned(name, entry.value, tensor.requires_grad))
        return tuple(owned)

    def add_fresh(self, tensor: torch.Tensor, sig: Signature, nbytes: int, real: bool) -> TrackedTensor:
        """Register an op's output on a storage of its own, whose live range begins at the current node."""
        blocks = self._blocks
        block = StorageRecord(len(blocks), nbytes, self.clock, real, "activation")
        blocks.append(block)
        if tensor.layout is _STRIDED:
            self._watch(tensor.untyped_storage(), block)
        elif tensor.layout in sparse.LAYOUTS:
            self._watch(sparse.parts(tensor)[0].untyped_storage(), block)
            self._add_indices(tensor, None)
        return self._register(tensor, block, "activation", sig)

    def _watch(self, storage: torch.UntypedStorage, block: StorageRecord) -> None:
        """Register a callback that notes when a storage is freed."""
        block.ref = ref = StorageRef(storage, self._on_death)
        ref.block, ref.key = block, identity_of(storage)
        self._by_key[ref.key] = block

    def begin(self, tensor: torch.Tensor, block: StorageRecord) -> None:
        """Let the live range of a constant's storage begin at the current node: forward has created it just now."""
        if tensor.layout is _STRIDED and self._alive and self._alive[-1] is tensor:
            self._alive.pop()
            block.born = self.clock
            self._watch(tensor.untyped_storage(), block)

    def alias(self, tensor: torch.Tensor, block: StorageRecord) -> None:
        """Treat the storage of a meta tensor, while it is alive, as another storage, which is registered."""
        storage = tensor.untyped_storage()
        if identity_of(storage) in self._by_key:
            return
        ref = StorageRef(storage, self._on_alias_death)
        ref.block, ref.key = block, identity_of(storage)
        self._aliases[ref.key], self._by_key[ref.key] = ref, block

    def _on_alias_death(self, ref: StorageRef) -> None:
        del self._aliases[ref.key]
        if self._by_key.get(ref.key) is ref.block:
            del self._by_key[ref.key]

    def _add_indices(self, tensor: torch.Tensor, source: StorageRecord | None) -> None:
        """Register a sparse tensor's indices: as parts of `source`; without one, as storages of their own."""
        if tensor.layout not in sparse.LAYOUTS:
            return
        for index in sparse.parts(tensor)[1:]:
            key = storage_key(index)
            if source is not None:
                self._by_key.setdefault(key, source)
            elif key not in self._by_key:
                block = StorageRecord(
                    len(self._blocks), storage_bytes(index), self.clock, not is_meta(index), "activation"
                )
                self._blocks.append(block)
                self._watch(index.untyped_storage(), block)

    def add_view(self, tensor: torch.Tensor, block: StorageRecord, role: Role = "activation") -> TrackedTensor:
        """Register a tensor on a registered storage. A sparse one is real only if its indices are, too."""
        real = block.real and (tensor.layout is _STRIDED or not is_meta(tensor))
        return self._register(tensor, block, role, signature(tensor, real, block.grad))

    def add_result(self, tensor: torch.Tensor) -> TrackedTensor:
        """Register an op's output, with its own storage or as a view."""
        block = self.block_of(tensor)
        if block is not None:
            return self.add_view(tensor, block)
        real = not is_meta(tensor)
        return self.add_fresh(tensor, signature(tensor, real), storage_bytes(tensor), real)

    def write(self, tensor: torch.Tensor, old: TrackedTensor, real: bool) -> TrackedTensor:
        """Register the tensor's new value after an in-place op; all other tensors on its storage become stale."""
        block = old.block
        block.version += 1
        block.real = real
        block.owned = False  # ops write to a copy of the user's data
        same = old.sig.real == real and old.sig.type.shape == tensor.shape
        tracked = self._register(tensor, block, "activation", old.sig if same else signature(tensor, real))
        block.writer = tracked.value
        return tracked

    def reshape(self, tensor: torch.Tensor, real: bool, wrote: bool) -> TrackedTensor:
        """Register the value of a tensor after an op changed its shape or storage in place.

        `real`: whether its values are known. `wrote`: whether its elements changed, too; else it is only another view.
        """
        block = self.block_of(tensor)
        if block is None:  # the op allocated another storage
            return self.add_fresh(tensor, signature(tensor, real), storage_bytes(tensor), real)
        if storage_bytes(tensor) > block.nbytes:
            block = self._reallocate(block, tensor)
        if wrote:
            block.version += 1
            block.real, block.owned = real, False
        tracked = self._register(tensor, block, "activation", signature(tensor, real))
        if wrote:
            block.writer = tracked.value
        return tracked

    def _reallocate(self, old: StorageRecord, tensor: torch.Tensor) -> StorageRecord:
        """Return the new record of a storage that grew: elements moved to new memory, and the old memory was freed."""
        block = StorageRecord(len(self._blocks), storage_bytes(tensor), self.clock, old.real, old.use)
        self._blocks.append(block)
        block.version, block.writer, block.noise, block.device = old.version, old.writer, old.noise, old.device
        if old.born is not None:
            old.died = max(self.clock if old.nbytes else self.clock - 1, old.born)  # after its elements are copied
        if old.ref is not None:
            block.ref, block.ref.block, old.ref = old.ref, block, None
        self._by_key[storage_key(tensor)] = block
        for key, tracked in self.tracked.items():
            if tracked.block is old:
                self.tracked[key] = tracked._replace(block=block)
        return block

    def resize_storage(self, storage: torch.UntypedStorage) -> None:
        """Handle `storage.resize_()` without an op: the old memory is freed and new memory is allocated.

        Tensors on it are stale until one of them is written to, as after any write.
        """
        key = identity_of(storage)
        old, nbytes = self._by_key.get(key), storage.nbytes()
        if old is None or nbytes == old.nbytes:
            return
        block = StorageRecord(len(self._blocks), nbytes, self.clock, False, old.use)
        self._blocks.append(block)
        block.version, block.writer, block.grad, block.device = old.version, old.writer, old.grad, old.device
        old.died = max(self.clock - 1, old.born or 0)
        if old.ref is not None:
            block.ref, block.ref.block, old.ref = old.ref, block, None
        self._by_key[key] = block
        for tensor_id, tracked in self.tracked.items():
            if tracked.block is old:
                self.tracked[tensor_id] = tracked._replace(block=block)

    def rewrite(self, tensor: torch.Tensor, old: TrackedTensor, data: torch.Tensor) -> TrackedTensor:
        """Register the new value of a tensor without data after an in-place op; `data` holds its elements."""
        block = old.block
        block.version += 1
        block.real, block.owned = True, False
        tracked = self._register(tensor, block, "activation", old.sig)
        block.writer = tracked.value
        tracked = self.tracked[id(tensor)] = tracked._replace(data=data)
        return tracked

    def attach(self, tensor: torch.Tensor, data: torch.Tensor) -> TrackedTensor:
        """Set the known values of a registered tensor."""
        tracked = self.tracked[id(tensor)]
        tracked.block.real = True
        if not tensor.is_meta:  # it is the user's, so `data` is a copy, whose views count as views of the tensor
            tracked.block.copied = True
            self._alive.append(data)
            self._by_key[storage_key(data)] = tracked.block
        tracked = self.tracked[id(tensor)] = tracked._replace(sig=signature(tensor, True, tracked.sig.grad), data=data)
        return tracked

    def add_stand_in(self, tensor: torch.Tensor, original: torch.Tensor, tracked: TrackedTensor) -> None:
        """Register a meta tensor as the same value as `original`, a tensor with data, whose entry is `tracked`."""
        self._alive.append(tensor)
        self.tracked[id(tensor)] = TrackedTensor(
            weakref.ref(tensor), tracked.value, signature(tensor, tracked.sig.real, tracked.sig.grad), tracked.block,
            tracked.version,
            (original if tracked.data is None else tracked.data) if tracked.sig.real else None,
        )  # fmt: skip

    def mark(self, tensor: torch.Tensor, use: Use) -> None:
        """Set the use of a tensor's storage, if that is registered."""
        if (block := self.block_of(tensor)) is not None:
            block.use = use

    def forget(self, tensor: torch.Tensor) -> None:
        """Remove a tensor from the table: its `.data` was replaced."""
        self.tracked.pop(id(tensor), None)

    def find(self, tensor: torch.Tensor) -> TrackedTensor | None:
        """Return the entry of exactly this tensor; None if it isn't registered."""
        tracked = self.tracked.get(id(tensor))
        return tracked if tracked is not None and tracked.ref() is tensor else None

    def block_of(self, tensor: torch.Tensor) -> StorageRecord | None:
        """Return the record of a tensor's storage; None if it isn't registered."""
        return self._by_key.get(storage_key(tensor))

    def share_device(self, tensor: torch.Tensor, other: torch.Tensor) -> None:
        """Set the device of a tensor's storage to that of another's."""
        block, other_block = self.block_of(tensor), self.block_of(other)
        if block is not None and other_block is not None:
            block.device = other_block.device

    def latest_on(self, block: StorageRecord, kind: TensorType) -> Value | None:
        """Return the newest value on a storage, preferably of type `kind`, for a tensor that isn't registered.

        None if there is none. The value's own tensor may be gone, such as that of `Parameter(torch.empty(3))`.
        """
        newest = None
        for value in reversed(self.values):
            if value.storage == block.index:
                if value.type == kind:
                    return value
                newest = newest or value
        return newest

    def created(self) -> list[weakref.ref[torch.Tensor]]:
        """Return weak references to the live tensors that were created after the first node.

        Constants with data may stay where forward has put them.
        """
        created = [(t, t.ref()) for t in self.tracked.values() if t.block.born is not None]
        kept = [(t, left) for t, left in created if left is not None and (t.block.use != "constant" or is_meta(left))]
        return [t.ref for t, _ in kept]

    def storages(self) -> tuple[Storage, ...]:
        """Return all storages with their live ranges, and stop watching them."""
        for block in self._by_key.values():
            block.ref = None
        sources, blocks = self.source_storages, self._blocks[len(self.source_storages) :]
        if not self.clock:  # without a node, nothing died after one
            return (*sources, *[Storage(b.index, b.nbytes, b.born, None, b.use) for b in blocks])
        clip = partial(_clip, self.clock)
        return (*sources, *[Storage(b.index, b.nbytes, clip(b.born), clip(b.died), b.use) for b in blocks])

    def devices(self) -> list[torch.device | None]:
        """Return the device of each storage; None for the model's default device."""
        return [block.device for block in self._blocks]

    def _register(self, tensor: torch.Tensor, block: StorageRecord, role: Role, sig: Signature) -> TrackedTensor:
        values, identity = self.values, id(tensor)
        index, block.tensor = len(values), identity
        values.append(Value(index, sig.type, block.index, role))
        tracked = self.tracked[identity] = TrackedTensor(weakref.ref(tensor), index, sig, block, block.version, None)
        return tracked

    def _on_death(self, ref: StorageRef) -> None:
        # The node `clock` is not complete yet, so the storage died after the previous one.
        block = ref.block
        block.died = max(self.clock - 1, block.born or 0)
        block.ref = None
        if self._by_key.get(ref.key) is block:
            del self._by_key[ref.key]
        tracked = self.tracked.get(block.tensor)
        if tracked is not None and tracked.block is block:
            del self.tracked[block.tensor]


def _clip(clock: int, node: int | None) -> int | None:
    """Clip a node index to the last node: FSDP may free gathered parameters after it."""
    return None if node is None else min(node, clock - 1)
