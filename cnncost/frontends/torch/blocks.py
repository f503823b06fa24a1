"""Storages and tensors as stored in the recorder's tensor table."""

from __future__ import annotations

import weakref
from typing import NamedTuple, TypeAlias

import torch

from cnncost.frontends.torch import sparse
from cnncost.frontends.torch.compat.tensors import identity_of, is_zero_tensor
from cnncost.frontends.torch.types import Signature
from cnncost.graph import Use


class StorageRef(weakref.ref):  # type: ignore[type-arg]  # its referent's class differs between torch versions
    """Weak reference to a storage, with a callback when it is freed, its record and its key in the tensor table."""

    __slots__ = ("block", "key")
    block: StorageRecord
    key: int


class StorageRecord:
    """A storage: its live range and how it may be used.

    Attributes:
        index: its index in the tensor table.
        nbytes, born, died: as in `graph.Storage`.
        version, writer: number of in-place writes, and the id of the value written last (-1: none).
        real: whether its values are known, and ops may run on them.
        owned: whether it holds the user's data, which must never be written to.
        copied: whether writes to the user's data went to a copy of it.
        noise: whether it holds a random mask, or something computed only from masks.
        from_random: whether its values depend on random numbers.
        from_float_input: whether its values depend on a floating-point input.
        grad: whether it belongs to a leaf that requires a gradient.
        use: as in `graph.Storage`.
        device: the device that it is on; None: the model's.
    """

    __slots__ = (
        "born", "copied", "device", "died", "from_float_input", "from_random", "grad", "index", "nbytes", "noise",
        "owned", "real", "ref", "tensor", "use", "version", "writer",
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
        self.device: torch.device | None = None
        self.copied = self.noise = self.from_random = self.from_float_input = self.grad = False
        self.ref: StorageRef | None = None  # kept alive so that its callback runs
        self.tensor = 0  # id of the tensor registered last


class TrackedTensor(NamedTuple):
    """A tensor registered in the tensor table.

    `value` is the id of its Graph value, which was up to date at `version` of the storage: an in-place op on another
    tensor of the storage makes it stale. `data` holds the values of a tensor without data, or of a user's tensor after
    a write; for other tensors with values it is None.
    """

    ref: weakref.ref[torch.Tensor]
    value: int
    sig: Signature
    block: StorageRecord
    version: int
    data: torch.Tensor | None = None


TensorArgs: TypeAlias = "list[tuple[torch.Tensor, TrackedTensor]]"
"""The tensors among an op's arguments, with their entries in the tensor table."""


def storage_key(tensor: torch.Tensor) -> int:
    """Return the key of a tensor's storage in the tensor table.

    It is the identity of a strided tensor's storage or of that of a sparse tensor's values, else the tensor's `id`.
    """
    if tensor.layout is not torch.strided:
        if tensor.layout not in sparse.LAYOUTS:
            return id(tensor)
        tensor = sparse.parts(tensor)[0]
    return identity_of(tensor.untyped_storage())


def storage_bytes(tensor: torch.Tensor) -> int:
    """Return the bytes of a tensor's storage; of a sparse tensor, its values' (indices are registered separately)."""
    if tensor.layout is torch.strided:
        return 0 if is_zero_tensor(tensor) else tensor.untyped_storage().nbytes()
    if tensor.layout in sparse.LAYOUTS:
        return sparse.parts(tensor)[0].untyped_storage().nbytes()
    return tensor.numel() * tensor.element_size()
