"""Copies forward's results for use as inputs of another recording, such as a KV cache for the next decoding step."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from cnncost.errors import InputError
from cnncost.frontends.torch.compat.tensors import identity_of
from cnncost.frontends.torch.copies import Copier
from cnncost.frontends.torch.meta import META
from cnncost.frontends.torch.recorder import Recorder


class Outcome(Copier):
    """Copies a result, which then outlives the recording's own tensors.

    Tensors whose values the recording knows (a length, positions) are copied with their values. All others become new
    tensors on `meta` that share storages as the originals do. Objects are copied by their own copy protocol.

    Args:
        recorder: the recorder of the run, after its context has exited.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._ledger = recorder.ledger
        self._values = recorder.values_at_hand
        self._storages: dict[int, torch.UntypedStorage] = {}

    def module(self, module: nn.Module) -> nn.Module:
        """Raise InputError: a recording's modules have no weights and are discarded with it."""
        raise InputError(
            f"forward returned a module, {type(module).__name__}; expected tensors, or containers or objects of tensors"
        )

    def _tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        copy: torch.Tensor | None = self._copies.get(id(tensor))
        if copy is not None:
            return copy
        return self._register(tensor, self._like(tensor))  # type: ignore[no-any-return]  # it returns its argument

    def _like(self, tensor: torch.Tensor) -> torch.Tensor:
        if (value := self._value_of(tensor)) is not None:
            return value.detach().clone()
        if tensor.layout is not torch.strided:
            raise InputError(f"forward returned a tensor of layout {tensor.layout}; expected dense tensors")
        if not tensor.is_meta:
            return tensor.detach().clone()
        key = identity_of(tensor.untyped_storage())
        if (storage := self._storages.get(key)) is None:
            size = tensor.untyped_storage().nbytes()
            storage = self._storages[key] = torch.empty(size, dtype=torch.uint8, device=META).untyped_storage()
        empty = torch.empty(0, dtype=tensor.dtype, device=META)
        return empty.set_(storage, tensor.storage_offset(), tensor.shape, tensor.stride())

    def _value_of(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """Return a tensor's known values, including later in-place changes; None if they are unknown or stale."""
        tracked = self._ledger.find(tensor)
        if tracked is not None and tracked.data is not None:
            return tracked.data if tracked.version == tracked.block.version else None
        return self._values.get(id(tensor))


def tensors_held(state: Any) -> list[torch.Tensor]:
    """Return the tensors in a copied result, at any depth, each once."""
    walk = _Tensors()
    walk.value(state)
    return walk.found


class _Tensors(Copier):
    """Finds the tensors in an object by copying it; the copy is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[torch.Tensor] = []

    def module(self, module: nn.Module) -> nn.Module:
        return module

    def _tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in self._copies:
            self.found.append(tensor)
        return self._register(tensor, tensor)  # type: ignore[no-any-return]  # it returns its argument
