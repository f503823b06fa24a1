"""Which value a tensor is, and which storages live: the recorder's books.

Tensors are looked up by identity. The books hold them weakly, so that a storage dies in the
recording exactly when eager Python would free it; that is what memory figures are made of.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from functools import partial

import torch

from cnncost.frontends.torch import sparse
from cnncost.frontends.torch.blocks import Block, Known, StorageRef, pointer, storage_bytes
from cnncost.frontends.torch.meta import is_meta
from cnncost.frontends.torch.types import Signature, signature
from cnncost.graph import Owned, Role, Storage, TensorType, Use, Value

_STRIDED = torch.strided
# Several of these are made for every op: past the named constructors is twice as fast.
_known: Callable[[tuple[object, ...]], Known] = partial(tuple.__new__, Known)
_value: Callable[[tuple[object, ...]], Value] = partial(tuple.__new__, Value)
_storage: Callable[[tuple[object, ...]], Storage] = partial(tuple.__new__, Storage)
_owned: Callable[[tuple[object, ...]], Owned] = partial(tuple.__new__, Owned)


class Ledger:
    """Values and storages of one recording. `clock` is the index of the node that is being recorded."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.known: dict[int, Known] = {}
        self.clock = 0
        self._blocks: list[Block] = []
        self._by_pointer: dict[int, Block] = {}
        self._kept: list[torch.Tensor] = []
        self._aliases: dict[int, StorageRef] = {}
        self._lasting: tuple[Storage, ...] = ()
        """The first storages, where their lives are known beforehand."""

    def add_source(self, tensor: torch.Tensor, role: Role, data: torch.Tensor | None = None) -> Known:
        """A tensor that was there before the first node: it is kept alive.

        `data` are its values, if ops may be run on them: the tensor itself or one in whose place it stands.
        They are the user's, and never written to. Tensors of another recorded storage (flattened weights) share it.
        """
        self._kept.append(tensor)
        if plain := tensor.layout is _STRIDED:
            storage = tensor.untyped_storage()
            where, nbytes = storage._cdata, storage.nbytes()
        else:
            where, nbytes = pointer(tensor), storage_bytes(tensor)
            if tensor.layout in sparse.LAYOUTS:
                nbytes += sparse.stored(tensor)[1]
        block = self._by_pointer.get(where)
        if block is None:
            block = Block(len(self._blocks), nbytes, None, data is not None, role)
            self._by_pointer[where] = block
            self._blocks.append(block)
            if not plain:
                self._add_indices(tensor, block)
        block.grad = grad = tensor.requires_grad
        index, sig = len(self.values), signature(tensor, data is not None, grad)
        block.tensor = id(tensor)
        self.values.append(_value((index, sig.type, block.index, role)))
        known = self.known[id(tensor)] = _known(
            (weakref.ref(tensor), index, sig, block, block.version, None if data is tensor else data)
        )
        return known

    def add_owned(
        self, tensors: Mapping[str, torch.Tensor | None], role: Role, values: dict[int, torch.Tensor]
    ) -> tuple[Owned, ...]:
        """All parameters or buffers of a module; those known already are only named."""
        known, owned = self.known, []
        for name, tensor in tensors.items():
            if tensor is None:
                continue
            found = known.get(id(tensor))  # all sources are alive: an identity is its own
            if found is None:
                found = self.add_source(tensor, role, values.get(id(tensor)))
            owned.append(_owned((name, found[1], tensor.requires_grad)))
        return tuple(owned)

    def add_fresh(self, tensor: torch.Tensor, sig: Signature, nbytes: int, real: bool) -> Known:
        """An op's output on a storage of its own; its death will be seen."""
        blocks = self._blocks
        block = Block(len(blocks), nbytes, self.clock, real, "activation")
        blocks.append(block)
        if tensor.layout is _STRIDED:
            self._watch(tensor.untyped_storage(), block)
        elif tensor.layout in sparse.LAYOUTS:
            self._watch(sparse.parts(tensor)[0].untyped_storage(), block)
            self._add_indices(tensor, None)
        return self._book(tensor, block, "activation", sig)

    def _watch(self, storage: torch.UntypedStorage, block: Block) -> None:
        """Be told of a storage's death."""
        block.ref = ref = StorageRef(storage, self._on_death)
        ref.block = block
        ref.pointer = where = storage._cdata
        self._by_pointer[where] = block

    def alias(self, tensor: torch.Tensor, block: Block) -> None:
        """Say that a tensor without data stands for one on a known storage, for as long as it lives."""
        storage = tensor.untyped_storage()
        if storage._cdata in self._by_pointer:
            return
        ref = StorageRef(storage, self._on_alias_death)
        ref.block, ref.pointer = block, storage._cdata
        self._aliases[ref.pointer], self._by_pointer[ref.pointer] = ref, block

    def _on_alias_death(self, ref: StorageRef) -> None:
        del self._aliases[ref.pointer]
        if self._by_pointer.get(ref.pointer) is ref.block:
            del self._by_pointer[ref.pointer]

    def _add_indices(self, tensor: torch.Tensor, source: Block | None) -> None:
        """Enter what a sparse tensor keeps beside its elements: as parts of a source, else each with its own life."""
        if tensor.layout not in sparse.LAYOUTS:
            return
        for index in sparse.parts(tensor)[1:]:
            where = pointer(index)
            if source is not None:
                self._by_pointer.setdefault(where, source)
            elif where not in self._by_pointer:
                block = Block(len(self._blocks), storage_bytes(index), self.clock, not is_meta(index), "activation")
                self._blocks.append(block)
                self._watch(index.untyped_storage(), block)

    def add_view(self, tensor: torch.Tensor, block: Block, role: Role = "activation") -> Known:
        """A tensor on a storage that the books know."""
        real = block.real and (tensor.layout is _STRIDED or not is_meta(tensor))  # elements alone are not all of it
        return self._book(tensor, block, role, signature(tensor, real, block.grad))

    def add_result(self, tensor: torch.Tensor) -> Known:
        """An op's output, on a storage of its own or not."""
        block = self.block_of(tensor)
        if block is not None:
            return self.add_view(tensor, block)
        real = not is_meta(tensor)
        return self.add_fresh(tensor, signature(tensor, real), storage_bytes(tensor), real)

    def write(self, tensor: torch.Tensor, old: Known, real: bool) -> Known:
        """The value that an op in place leaves in `tensor`; all others on the storage become stale."""
        block = old.block
        block.version += 1
        block.real = real
        block.owned = False  # if it has values, they are a copy now
        same = old.sig.real == real and old.sig.type.shape == tensor.shape
        known = self._book(tensor, block, "activation", old.sig if same else signature(tensor, real))
        block.writer = known.value
        return known

    def reshape(self, tensor: torch.Tensor, real: bool, wrote: bool) -> Known:
        """The value that an op leaves in a tensor whose shape or storage it has changed in place.

        `real`: the tensor's values are at hand; `wrote`: its elements are others, too, else it is another view.
        """
        block = self.block_of(tensor)
        if block is None:  # a storage that nobody has seen
            return self.add_fresh(tensor, signature(tensor, real), storage_bytes(tensor), real)
        if storage_bytes(tensor) > block.nbytes:
            block = self._moved(block, tensor)
        if wrote:
            block.version += 1
            block.real, block.owned = real, False
        known = self._book(tensor, block, "activation", signature(tensor, real))
        if wrote:
            block.writer = known.value
        return known

    def _moved(self, old: Block, tensor: torch.Tensor) -> Block:
        """The block of a storage that has become larger: the elements are in another place, and the old one is free."""
        block = Block(len(self._blocks), storage_bytes(tensor), self.clock, old.real, old.use)
        self._blocks.append(block)
        block.version, block.writer, block.noise = old.version, old.writer, old.noise
        if old.born is not None:
            old.died = max(self.clock if old.nbytes else self.clock - 1, old.born)
        if old.ref is not None:
            block.ref, block.ref.block, old.ref = old.ref, block, None
        self._by_pointer[pointer(tensor)] = block
        for key, known in self.known.items():
            if known.block is old:
                self.known[key] = known._replace(block=block)
        return block

    def rewrite(self, tensor: torch.Tensor, old: Known, data: torch.Tensor) -> Known:
        """The value that an op in place leaves in a tensor that has none itself; `data` says what it is."""
        block = old.block
        block.version += 1
        block.real, block.owned = True, False
        known = self._book(tensor, block, "activation", old.sig)
        block.writer = known.value
        known = self.known[id(tensor)] = _known((*known[:5], data))
        return known

    def attach(self, tensor: torch.Tensor, data: torch.Tensor) -> Known:
        """Say what the values of a known tensor are."""
        known = self.known[id(tensor)]
        known.block.real = True
        if not tensor.is_meta:  # a copy, since the tensor itself is the user's: views of it are on the same storage
            known.block.copied = True
            self._kept.append(data)
            self._by_pointer[pointer(data)] = known.block
        known = self.known[id(tensor)] = known._replace(sig=signature(tensor, True, known.sig.grad), data=data)
        return known

    def stand_in(self, tensor: torch.Tensor, for_: torch.Tensor, known: Known) -> None:
        """Book a tensor without data as the same value as one with data."""
        self._kept.append(tensor)
        self.known[id(tensor)] = Known(
            weakref.ref(tensor), known.value, signature(tensor, known.sig.real, known.sig.grad), known.block,
            known.version,
            (for_ if known.data is None else known.data) if known.sig.real else None,
        )  # fmt: skip

    def mark(self, tensor: torch.Tensor, use: Use) -> None:
        """Say what a tensor's storage is for, if the books know it."""
        if (block := self.block_of(tensor)) is not None:
            block.use = use

    def forget(self, tensor: torch.Tensor) -> None:
        """Know nothing of a tensor any more: it was given another's data."""
        self.known.pop(id(tensor), None)

    def find(self, tensor: torch.Tensor) -> Known | None:
        """What the books know of this very tensor."""
        known = self.known.get(id(tensor))
        return known if known is not None and known.ref() is tensor else None

    def block_of(self, tensor: torch.Tensor) -> Block | None:
        """The storage of a tensor, if the books know it."""
        return self._by_pointer.get(pointer(tensor))

    def latest_on(self, block: Block, kind: TensorType) -> Value | None:
        """The newest value on a storage, one of the same type before others (autograd hands out such twins).

        Its tensor may be gone: `Parameter(torch.empty(3))` leaves only the parameter.
        """
        newest = None
        for value in reversed(self.values):
            if value.storage == block.index:
                if value.type == kind:
                    return value
                newest = newest or value
        return newest

    def made(self) -> list[weakref.ref[torch.Tensor]]:
        """The tensors made since the first node that are alive."""
        return [k[0] for k in self.known.values() if k[3].born is not None and k[0]() is not None]

    def storages(self) -> tuple[Storage, ...]:
        """All storages with their lives; nothing is observed any more."""
        for block in self._by_pointer.values():
            block.ref = None
        known = self._lasting
        return (*known, *[_storage((b.index, b.nbytes, b.born, b.died, b.use)) for b in self._blocks[len(known) :]])

    def _book(self, tensor: torch.Tensor, block: Block, role: Role, sig: Signature) -> Known:
        values, identity = self.values, id(tensor)
        index, block.tensor = len(values), identity
        values.append(_value((index, sig.type, block.index, role)))
        known = self.known[identity] = _known((weakref.ref(tensor), index, sig, block, block.version, None))
        return known

    def _on_death(self, ref: StorageRef) -> None:
        # Whatever dies while node `clock` is at work died after the node before it.
        block = ref.block
        block.died = max(self.clock - 1, block.born or 0)
        block.ref = None
        if self._by_pointer.get(ref.pointer) is block:
            del self._by_pointer[ref.pointer]
        booked = self.known.get(block.tensor)
        if booked is not None and booked.block is block:
            del self.known[block.tensor]


class Sources:
    """Books in which nothing but sources is entered yet, to begin other books with.

    Args:
        ledger: such books. The values of tensors are left out: who opens books gives them again.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._values = ledger.values.copy()
        self._known = {key: _known((*known[:5], None)) for key, known in ledger.known.items()}
        self._blocks = ledger._blocks.copy()
        self._real = [block.real for block in ledger._blocks]
        self._by_pointer = ledger._by_pointer.copy()
        self._kept = ledger._kept.copy()
        self._storages = ledger.storages()

    def open(self, data: dict[int, torch.Tensor]) -> Ledger:
        """Books that begin with these sources; only the newest are valid. `data`: values, by the tensors' identity."""
        ledger, known = Ledger(), self._known.copy()
        for key, values in data.items():
            known[key] = _known((*known[key][:5], values))
        for block, real in zip(self._blocks, self._real, strict=True):
            block.version, block.writer, block.real, block.owned, block.noise = 0, -1, real, True, False
            block.copied = block.chance = block.given = False
        ledger.values, ledger.known, ledger._blocks = self._values.copy(), known, self._blocks.copy()
        ledger._by_pointer, ledger._kept = self._by_pointer.copy(), self._kept.copy()
        ledger._lasting = self._storages
        return ledger
