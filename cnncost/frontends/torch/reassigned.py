"""Observes changes that no dispatch mode sees: `tensor.data = other` and `storage.resize_(n)`.

`module.to` casts and moves modules by assigning `.data`, for example in hooks that store weights in fewer bits. FSDP
frees an unsharded parameter by resizing its storage to 0, and reallocates it by resizing the storage back.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from cnncost.frontends.torch.compat.tensors import StorageBase, TensorBase
from cnncost.frontends.torch.patches import Patch

_get, _set, _resize = TensorBase.data.__get__, TensorBase.data.__set__, StorageBase.resize_


def patches(forget: Callable[[torch.Tensor], object], resized: Callable[[torch.UntypedStorage], object]) -> list[Patch]:
    """Return patches that call `forget` when a tensor's `.data` is assigned, `resized` when a storage is resized."""

    def assign(tensor: torch.Tensor, value: torch.Tensor) -> None:
        _set(tensor, value)
        forget(tensor)

    def resize(storage: torch.UntypedStorage, size: int) -> torch.UntypedStorage:
        _resize(storage, size)
        resized(storage)
        return storage

    return [
        Patch(torch.Tensor, "data", property(_get, assign), "the tensor table would keep the tensor's old entry"),
        Patch(torch.UntypedStorage, "resize_", resize, "freed memory would count as allocated"),
    ]
