"""A snapshot of the tensor table before forward: recordings of one model start from the same parameters and buffers."""

from __future__ import annotations

import torch

from cnncost.frontends.torch.blocks import TrackedTensor
from cnncost.frontends.torch.ledger import TensorTable


class Sources:
    """Snapshot of a tensor table that holds only sources; new tables start from it.

    Args:
        ledger: the tensor table. Tensors' values are not stored; the caller of `open` passes them again.
    """

    def __init__(self, ledger: TensorTable) -> None:
        self._values = ledger.values.copy()
        self._tracked = {key: TrackedTensor(*tracked[:5], None) for key, tracked in ledger.tracked.items()}
        self._blocks = ledger._blocks.copy()
        self._real = [block.real for block in ledger._blocks]
        self._by_key = ledger._by_key.copy()
        self._alive = ledger._alive.copy()
        self._storages = ledger.storages()

    def open(self, data: dict[int, torch.Tensor]) -> TensorTable:
        """Return a table with these sources; this invalidates earlier ones. `data`: values by the tensor's `id`."""
        ledger, tracked = TensorTable(), self._tracked.copy()
        for key, values in data.items():
            tracked[key] = TrackedTensor(*tracked[key][:5], values)
        for block, real in zip(self._blocks, self._real, strict=True):  # tables share the records
            block.version, block.writer, block.real, block.owned, block.noise = 0, -1, real, True, False
            block.copied = block.from_random = block.from_float_input = False
        ledger.values, ledger.tracked, ledger._blocks = self._values.copy(), tracked, self._blocks.copy()
        ledger._by_key, ledger._alive = self._by_key.copy(), self._alive.copy()
        ledger.source_storages = self._storages
        return ledger
