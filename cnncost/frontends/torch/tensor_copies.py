"""Copies tensors with their values. The copies share storages, overlap and have gaps like the originals."""

from __future__ import annotations

import torch

from cnncost.frontends.torch.compat.tensors import identity_of

_SPARE = 1 << 26
"""Maximum bytes of a storage, beyond the tensor's, that are copied with it: a large dataset's row is copied alone."""


class TensorCopies:
    """Copies tensors and, with few exceptions, each of their storages once."""

    def __init__(self) -> None:
        self._copies: dict[int, torch.UntypedStorage] = {}

    def copy_of(self, tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        """Return a copy on a device, detached from the autograd graph.

        Sparse, quantized, conjugate and subclassed tensors, and those of large storages, get storages of their own.
        """
        tensor = tensor.detach()
        if tensor.layout is not torch.strided or type(tensor) is not torch.Tensor or tensor.is_quantized:
            return tensor.clone().to(device)
        storage = tensor.untyped_storage()
        if tensor.is_conj() or tensor.is_neg() or storage.nbytes() > tensor.nbytes + _SPARE:
            return tensor.clone().to(device)
        key = identity_of(storage)
        copy = self._copies.get(key)
        if copy is None:
            flat = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)
            copy = self._copies[key] = flat.clone().to(device).untyped_storage()
        view = torch.empty(0, dtype=tensor.dtype, device=device)
        return view.set_(copy, tensor.storage_offset(), tensor.shape, tensor.stride())


__all__ = ["TensorCopies"]
