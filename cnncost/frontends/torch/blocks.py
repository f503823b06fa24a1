"""Storages and tensors as the recorder's books have them."""

from __future__ import annotations

import weakref
from typing import NamedTuple, TypeAlias

import torch

from cnncost.frontends.torch import sparse
from cnncost.frontends.torch.types import Signature
from cnncost.graph import Use


class StorageRef(weakref.ref):  # type: ignore[type-arg]  # its referent's class differs between torch versions
    """Of a block's storage, whose death it tells of."""

    __slots__ = ("block", "pointer")
    block: Block
    pointer: int


class Block:
    """A storage: its life, and what may be done with it.

    Attributes:
        nbytes, born, died: as in `graph.Storage`.
        version, writer: how often it was written to in place, and the value that was written last.
        real: its values are at hand, and ops may be run on them.
        owned: it is the user's and must never be written to.
        copied: its values are the user's, and were written to in a copy.
        noise: it holds a random mask, or what was computed from masks alone.
        chance, given: its values were decided by random numbers; by an input of floating-point numbers.
        grad: it is of a leaf that takes gradients.
        use: as in `graph.Storage`.
    """

    __slots__ = (
        "born", "chance", "copied", "died", "given", "grad", "index", "nbytes", "noise", "owned", "real", "ref",
        "tensor", "use", "version", "writer",
    )  # fmt: skip

    def __init__(self, index: int, nbytes: int, born: int | None, real: bool, use: Use) -> None:
        self.index = index
        self.nbytes = nbytes
        self.born = born
        self.died: int | None = None
        self.version = 0
        self.writer = -1
        self.real = real
        self.owned = born is None
        self.use = use
        self.copied = self.noise = self.chance = self.given = self.grad = False
        self.ref: StorageRef | None = None  # kept to be told of the storage's death
        self.tensor = 0  # identity of the tensor that was booked last


class Known(NamedTuple):
    """A tensor that the books know.

    `version` is that of its block when the value was last up to date; an op in place on any other
    tensor of the block makes it stale. `data` holds the values of a tensor that has none itself, or
    that is the user's and was written to; for others with values it is None.
    """

    ref: weakref.ref[torch.Tensor]
    value: int
    sig: Signature
    block: Block
    version: int
    data: torch.Tensor | None = None


Found: TypeAlias = "list[tuple[torch.Tensor, Known]]"
"""The tensors among an op's arguments, with what the books know of them."""


def pointer(tensor: torch.Tensor) -> int:
    """The identity of a tensor's storage, of a sparse one that of its elements; without a storage the tensor's own."""
    if tensor.layout is not torch.strided:
        if tensor.layout not in sparse.LAYOUTS:
            return id(tensor)
        tensor = sparse.parts(tensor)[0]
    identity: int = tensor.untyped_storage()._cdata
    return identity


def storage_bytes(tensor: torch.Tensor) -> int:
    """Bytes that it keeps; the indices of a sparse tensor that an op makes are entered by themselves."""
    if tensor.layout is torch.strided:
        return tensor.untyped_storage().nbytes()
    if tensor.layout in sparse.LAYOUTS:
        return sparse.parts(tensor)[0].untyped_storage().nbytes()
    return tensor.numel() * tensor.element_size()
