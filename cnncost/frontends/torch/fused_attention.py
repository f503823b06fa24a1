"""Attention in a training step: by the fused kernel that a CPU takes, and CUDA's like it.

Without data torch would take the unfused reference, whose scores are kept for backward: memory would be quadratic in
the sequence. The conditions are those of `sdp_utils_cpp.cpp`.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import Any

import torch

from cnncost.frontends.torch.appearance import is_meta
from cnncost.frontends.torch.autocast import lowered


def fused(original: Callable[..., torch.Tensor], thread: int) -> Callable[..., torch.Tensor]:
    """What takes the place of `F.scaled_dot_product_attention` in a thread, where the fused kernel would run."""

    def scaled_dot_product_attention(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        if get_ident() == thread:
            query, key, value, attn_mask = lowered(query, key, value, attn_mask)
        if get_ident() != thread or enable_gqa or dropout_p or not _fits(query, key, value, attn_mask, is_causal):
            return original(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
        mask = attn_mask
        if mask is not None and mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(mask.logical_not(), float("-inf"))
        kernel: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        out: torch.Tensor = kernel(query, key, value, 0.0, is_causal, attn_mask=mask, scale=scale)[0]
        return out

    return scaled_dot_product_attention


def _fits(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, causal: bool) -> bool:
    """N,H,L,E queries and N,H,S,E keys and values on `meta`, and a mask that needs no gradient."""
    tensors = (query, key, value)
    if any(not is_meta(t) or t.dim() != 4 or t.dtype != query.dtype or 0 in t.shape for t in tensors):
        return False
    if any(t.shape[:2] != query.shape[:2] or t.shape[3] != query.shape[3] or t.stride(-1) != 1 for t in tensors):
        return False
    if mask is None:
        return key.shape == value.shape
    return not causal and not mask.requires_grad and mask.dim() in {2, 4} and key.shape == value.shape
