"""Packed sequences: how many tokens there are follows from lengths, which are at hand.

Torch keeps lengths and batch sizes on the CPU, and its kernels insist on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch

from cnncost.errors import DataDependentError

Values: TypeAlias = dict[int, torch.Tensor]
_META = torch.device("meta")


def _lengths(tensor: torch.Tensor, values: Values, op: str) -> torch.Tensor:
    if id(tensor) not in values:
        raise DataDependentError(f"{op} reads the lengths of the sequences")
    return values[id(tensor)].cpu()


def _pack(args: Any, values: Values) -> Any:
    """input: T,B,* or B,T,*; lengths: B, falling. The data has a row for each token."""
    x, lengths, batch_first = args
    given = _lengths(lengths, values, "pack_padded_sequence")
    rest = x.shape[2:]
    data = torch.empty((int(given.sum()), *rest), dtype=x.dtype, device=_META)
    steps = torch.arange(1, int(given[0]) + 1)
    return data, (given.unsqueeze(0) >= steps.unsqueeze(1)).sum(1)


def _pad(args: Any, values: Values) -> Any:
    """data: tokens,*; batch_sizes: T. Back to T,B,* or B,T,*, and the lengths."""
    data, batch_sizes, batch_first, _, total = args
    sizes = _lengths(batch_sizes, values, "pad_packed_sequence")
    steps, batch = max(len(sizes), total), int(sizes[0])
    shape = (batch, steps) if batch_first else (steps, batch)
    padded = torch.empty((*shape, *data.shape[1:]), dtype=data.dtype, device=_META)
    lengths = (sizes.unsqueeze(1) > torch.arange(batch).unsqueeze(0)).sum(0)
    return padded, lengths


PACKING: dict[str, Callable[[Any, Values], Any]] = {
    "aten::_pack_padded_sequence": _pack,
    "aten::_pad_packed_sequence": _pad,
}
