"""A copy of a model for a run on values: it has buffers of its own, and only reads the user's weights.

Copies of all weights would double the memory of a large model. So a run is lent them. What forward is about to write to
all the same (an average of weights, a clipped one, the statistics of a layer in a global) is saved before, and put back
after the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from cnncost.frontends.torch.kinds import LAZY
from cnncost.frontends.torch.ledger import Ledger
from cnncost.frontends.torch.running import is_parameter
from cnncost.frontends.torch.skeleton import LazyParameterError, Skeleton
from cnncost.frontends.torch.watch import Watch


class Weights(Skeleton):
    """Copies modules for a run on values.

    Args:
        share: the weights' memory is the user's; otherwise they are copied, to be trained.
    """

    on_values = True

    def __init__(self, watch: Watch, share: bool) -> None:
        super().__init__(shared=False, watch=watch)
        self._share = share
        self._own: set[int] = set()
        self._saved: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}

    def about_to_be_written(self, tensors: Iterable[torch.Tensor], ledger: Ledger) -> None:
        """Save those among these tensors, and what they are views of, that are the user's."""
        for tensor in tensors:
            if tensor.layout is not torch.strided or tensor.is_meta:
                continue
            block, where = ledger.block_of(tensor), _where(tensor)
            if (block is None or block.owned) and where not in self._own and where not in self._saved:
                storage = tensor.untyped_storage()
                self._saved[where] = storage, storage.clone()

    @contextmanager
    def lending(self) -> Iterator[None]:
        """A run, at whose end the user's tensors have the values that they had."""
        try:
            yield
        finally:
            for storage, values in self._saved.values():
                storage.copy_(values)
            self._saved.clear()

    def _tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor | None = self._copies.get(id(tensor))
        if found is not None:
            return found
        if type(tensor) in LAZY:
            raise LazyParameterError
        copy = tensor.detach()  # what forward left on a module may have a history: its copy has none
        if is_parameter(tensor):
            copy = _lent(tensor) if self._share else self._clone(copy)
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
        return self._book(tensor, copy)  # type: ignore[no-any-return]  # it gives back what it got

    def _clone(self, tensor: torch.Tensor) -> torch.Tensor:
        copy = tensor.clone()
        if copy.layout is torch.strided:
            self._own.add(_where(copy))
        return copy


def _lent(tensor: torch.Tensor) -> torch.Tensor:
    """On the same memory, with versions counted apart: `detach` would share the user's counter."""
    data = tensor.data
    return data if type(data) is torch.Tensor else tensor.detach()


def _where(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
