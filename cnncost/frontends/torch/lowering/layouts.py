"""An operand's memory layout, for kernels that copy operands that they can't read in place."""

from __future__ import annotations

from typing import Any

import torch

from cnncost.frontends.torch.lowering.registry import Attrs, OpCall

_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def layout_of(x: Any) -> str | None:
    """Return the memory layout of a tensor as the attribute `layout`; None if it is contiguous.

    `channels_last`: dense, in that order. `strided_last`: not dense, but torch takes the strides for channels last
    (`is_channels_last`). `strided`: any other.
    """
    if not isinstance(x, torch.Tensor) or x.is_contiguous():
        return None
    if x.dim() in _FORMATS and x.is_contiguous(memory_format=_FORMATS[x.dim()]):
        return "channels_last"
    return "strided_last" if is_channels_last(x) else "strided"


def with_layout(attrs: Attrs, call: OpCall) -> Attrs:
    """Return the attributes, with the first operand's layout unless it is contiguous."""
    layout = layout_of(call.get("input", call.get("self")))
    return attrs if layout is None else {**attrs, "layout": layout}


def is_channels_last(x: torch.Tensor) -> bool:
    """True if a tensor's strides increase from the channels outwards, including the strides of axes of size 1.

    Ref: `is_channels_last_strides_2d_s4` in c10's MemoryFormat.h, which convolutions use; `is_contiguous` differs.
    """
    if x.dim() not in _FORMATS or x.stride(1) == 0:
        return False
    minimum = 0
    for axis in (1, *range(x.dim() - 1, 1, -1), 0):
        size, stride = x.shape[axis], x.stride(axis)
        ambiguous = axis == 0 and minimum == x.stride(1)  # as of N,1,1,1: taken as contiguous
        if size == 0 or stride < minimum or ambiguous:
            return False
        minimum = stride * size
    return True
