"""Weights of quantized layers, which torch packs into C++ objects that are not listed among the parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from cnncost.frontends.torch.compat.modules import PACKED

META = torch.device("meta")


def packed_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return the weight and bias of a quantized layer as meta tensors, by name; empty for all other modules."""
    if PACKED not in module.__dict__ or not type(module).__module__.startswith("torch.ao.nn."):
        return {}
    packed: Any = module.__dict__[PACKED]
    if not hasattr(packed, "unpack"):
        return {}
    parts = zip(("weight", "bias"), packed.unpack(), strict=False)
    return {
        name: torch.empty(t.shape, dtype=_dtype(t), device=META) for name, t in parts if isinstance(t, torch.Tensor)
    }


def _dtype(tensor: torch.Tensor) -> torch.dtype:
    """Return the tensor's dtype, or the underlying integer dtype of a quantized one, which meta tensors can't have."""
    return {torch.qint8: torch.int8, torch.quint8: torch.uint8, torch.qint32: torch.int32}.get(
        tensor.dtype, tensor.dtype
    )
