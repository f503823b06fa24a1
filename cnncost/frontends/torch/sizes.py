"""Creates the results of ops whose output shape depends on known values: packed sequences, masks, repeats.

The lengths and batch sizes of packed sequences are CPU tensors with data, as torch's kernels require.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch

from cnncost.errors import DataDependentError

Values: TypeAlias = dict[int, torch.Tensor]
"""Known values of tensors, by the tensors' `id`."""
_META = torch.device("meta")


def _values_of(tensor: torch.Tensor, values: Values, what: str) -> torch.Tensor:
    if id(tensor) not in values:
        raise DataDependentError(f"the size of the result depends on {what}")
    return values[id(tensor)].cpu()


def _pack(args: Any, values: Values) -> Any:
    """input: T,B,* or B,T,*; lengths: B, descending. Returns data with one row per token, and the batch sizes."""
    x, lengths, batch_first = args
    counts = _values_of(lengths, values, "the lengths of the sequences")
    steps, batch = (x.shape[1], x.shape[0]) if batch_first else x.shape[:2]
    if len(counts) != batch or (batch and not 0 < int(counts.min()) <= int(counts.max()) <= steps):
        raise RuntimeError(
            f"pack_padded_sequence: expected {batch} lengths from 1 to {steps} for this input, got {counts.tolist()}"
        )
    rest = x.shape[2:]
    data = torch.empty((int(counts.sum()), *rest), dtype=x.dtype, device=_META)
    numbers = torch.arange(1, int(counts[0]) + 1)
    return data, (counts.unsqueeze(0) >= numbers.unsqueeze(1)).sum(1)


def _pad(args: Any, values: Values) -> Any:
    """data: tokens,*; batch_sizes: T. Returns T,B,* or B,T,*, and the lengths."""
    data, batch_sizes, batch_first, _, total = args
    sizes = _values_of(batch_sizes, values, "the lengths of the sequences")
    steps, batch = max(len(sizes), total), int(sizes[0])
    shape = (batch, steps) if batch_first else (steps, batch)
    padded = torch.empty((*shape, *data.shape[1:]), dtype=data.dtype, device=_META)
    lengths = (sizes.unsqueeze(1) > torch.arange(batch).unsqueeze(0)).sum(0)
    return padded, lengths


def _masked_select(args: Any, values: Values) -> Any:
    """One element for each true element of the mask, after broadcasting it with self."""
    x, mask = args
    shape = torch.broadcast_shapes(x.shape, mask.shape)
    count = int(_values_of(mask, values, "a mask").expand(shape).sum())
    return torch.empty(count, dtype=x.dtype, device=_META)


def _repeat_interleave(args: Any, values: Values) -> Any:
    """self with each element, or each slice along an axis, repeated as often as `repeats` says."""
    x, repeats = args[:2]
    axis = args[2] if len(args) > 2 else None
    shape = [x.numel()] if axis is None else list(x.shape)
    axis = 0 if axis is None else axis
    shape[axis] = int(_values_of(repeats, values, "how often to repeat").expand(shape[axis]).sum())
    return torch.empty(shape, dtype=x.dtype, device=_META)


def _bincount(args: Any, values: Values) -> Any:
    """The count, or sum of weights, of each integer from 0 to the maximum; at least `minlength` numbers."""
    x, weights = args[0], args[1] if len(args) > 1 else None
    minimum = int(args[2]) if len(args) > 2 else 0
    numbers = _values_of(x, values, "the numbers that are counted")
    size = max(int(numbers.max()) + 1 if numbers.numel() else 0, minimum)
    summed = torch.float32 if weights is not None and weights.dtype is torch.float32 else torch.float64
    return torch.empty(size, dtype=torch.int64 if weights is None else summed, device=_META)


SIZED_BY_VALUES: dict[str, Callable[[Any, Values], Any]] = {
    "aten::_pack_padded_sequence": _pack,
    "aten::_pad_packed_sequence": _pad,
    "aten::bincount": _bincount,
    "aten::masked_select": _masked_select,
    "aten::repeat_interleave.self_Tensor": _repeat_interleave,
}
"""Functions that create an op's result, by the op's name, or with its overload name if only that overload needs one."""
