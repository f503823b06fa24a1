"""Copies a model for a run on real data. The copy has its own buffers and, unless trained, shares the user's weights.

Copying all weights would double the memory of a large model. If an op is about to write to one of the user's tensors
(averaged or clipped weights, statistics of a layer that a global holds), the values are saved and later restored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from cnncost.frontends.torch.compat.tensors import identity_of
from cnncost.frontends.torch.kinds import LAZY
from cnncost.frontends.torch.ledger import TensorTable
from cnncost.frontends.torch.running import is_parameter
from cnncost.frontends.torch.skeleton import LazyParameterError, Skeleton
from cnncost.frontends.torch.tensor_copies import TensorCopies
from cnncost.frontends.torch.watch import Watch


class Weights(Skeleton):
    """Copies modules for a run on real data.

    Args:
        watch: as for `Skeleton`.
        share: whether to share the memory of the user's parameters; for training, they are copied.
    """

    on_values = True

    def __init__(self, watch: Watch, share: bool) -> None:
        super().__init__(shared=False, watch=watch)
        self._share = share
        self._own: set[int] = set()
        """Identities of the copies' storages."""
        self._values = TensorCopies()
        self._saved: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
        """The user's storages to which ops wrote, each with a copy of its earlier contents."""

    def save_before_write(self, tensors: Iterable[torch.Tensor], ledger: TensorTable) -> None:
        """Save the values of the user's tensors among the operands of an op that is about to write to some of them."""
        for tensor in tensors:
            if tensor.layout is not torch.strided or tensor.is_meta:
                continue
            block, key = ledger.block_of(tensor), _storage_key(tensor)
            if (block is None or block.owned) and key not in self._own and key not in self._saved:
                storage = tensor.untyped_storage()
                self._saved[key] = storage, storage.clone()

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """Context at whose end the saved values of the user's tensors are restored."""
        try:
            yield
        finally:
            for storage, values in self._saved.values():
                storage.copy_(values)
            self._saved.clear()

    def _tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        known_copy: torch.Tensor | None = self._copies.get(id(tensor))
        if known_copy is not None:
            return known_copy
        if type(tensor) in LAZY:
            raise LazyParameterError
        copy = tensor.detach()  # no autograd history, even if forward left an activation on a module
        if is_parameter(tensor):
            copy = _alias(tensor) if self._share else self._clone(copy)
            copy = copy if isinstance(copy, nn.Parameter) else nn.Parameter(copy, tensor.requires_grad)
            copy.requires_grad_(tensor.requires_grad)
        else:
            copy = self._clone(copy)
            if tensor.requires_grad and tensor.is_leaf:
                copy.requires_grad_()
        kind = type(tensor)
        if kind is not type(copy) and kind.__torch_dispatch__ == torch.Tensor.__torch_dispatch__:
            copy.__class__ = kind
        if tensor.__dict__ and not copy.__dict__:
            copy.__dict__.update(tensor.__dict__)
        return self._register(tensor, copy)  # type: ignore[no-any-return]  # it returns its argument

    def _clone(self, tensor: torch.Tensor) -> torch.Tensor:
        copy = self._values.copy_of(tensor, tensor.device)
        if copy.layout is torch.strided:
            self._own.add(_storage_key(copy))
        return copy


def _alias(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor on the same memory with a version counter of its own; `detach` would share the user's counter."""
    data = tensor.data
    return data if type(data) is torch.Tensor else tensor.detach()


def _storage_key(tensor: torch.Tensor) -> int:
    return identity_of(tensor.untyped_storage())
