"""`scaled_dot_product_attention` as the model's device would run it, whichever alias forward calls.

On meta tensors torch always runs its reference implementation, which materializes scores and saves them for backward:
the recorded memory would be quadratic in the sequence length. This module selects the kernel that the device would use.
Without autograd the op is recorded as one node, with the kernel as an attribute.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from cnncost.frontends.torch.attention_kernels import REFERENCE, Attention, kernel_of
from cnncost.frontends.torch.compat.ops import CPU_FLASH_ATTENTION, EFFICIENT_ATTENTION, SAFE_SOFTMAX

_HALVES = frozenset({torch.float16, torch.bfloat16})

_library = torch.library.Library("cnncost", "DEF")
_library.define(
    "attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask, float dropout_p, bool is_causal, "
    "float? scale, bool enable_gqa, str kernel) -> Tensor"
)


def attend(
    device: str,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Run attention as a device would, by the op `cnncost::attention`, which autograd decomposes into `_parts`."""
    call = Attention(query, key, value, attn_mask, dropout_p, is_causal, enable_gqa)
    op: Any = torch.ops.cnncost.attention
    result: torch.Tensor = op(
        query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa, kernel_of(call, device)
    )
    return result


def _parts(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    dropout: float,
    causal: bool,
    scale: float | None,
    grouped: bool,
    kernel: str,
) -> torch.Tensor:
    """Run the same ops as torch: the kernel and the ops that prepare its operands, or the reference implementation."""
    if mask is not None and mask.dtype is torch.bool:
        mask = _as_additive(mask, query)
    if kernel == REFERENCE:
        return _reference(query, key, value, mask, dropout, causal, scale, grouped)
    if query.dim() == 3:  # kernels need a batch axis
        query, key, value = query.unsqueeze(0), key.unsqueeze(0), value.unsqueeze(0)
        return _parts(query, key, value, _with_four_axes(mask), dropout, causal, scale, grouped, kernel).squeeze(0)
    out: torch.Tensor
    if kernel == "efficient":
        compute_logsumexp = torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value))
        if mask is not None:
            mask = mask.expand(*query.shape[:3], key.shape[2])
        out = EFFICIENT_ATTENTION(query, key, value, mask, compute_logsumexp, dropout, causal, scale=scale)[0]
    else:  # for CUDA, too: its flash kernel saves as many bytes for backward
        out = CPU_FLASH_ATTENTION(query, key, value, dropout, causal, attn_mask=mask, scale=scale)[0]
    return out


_library.impl("attention", _parts, "CompositeImplicitAutograd")


def _with_four_axes(mask: torch.Tensor | None) -> torch.Tensor | None:
    """Add leading axes of size 1, because the operands were given one."""
    while mask is not None and mask.dim() < 4:
        mask = mask.unsqueeze(0)
    return mask


def _as_additive(mask: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """Return the additive mask equivalent to a boolean one, whose True elements are visible."""
    visible, hidden = (torch.scalar_tensor(n, dtype=query.dtype, device=query.device) for n in (0.0, -math.inf))
    return torch.where(mask, visible, hidden)


def _reference(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    dropout: float,
    causal: bool,
    scale: float | None,
    grouped: bool,
) -> torch.Tensor:
    """Mirror `_scaled_dot_product_attention_math` in attention.cpp, whose local variables live until it returns.

    That function itself can't be called: it adds the mask out of place if a dispatch mode is active.
    """
    dtype = query.dtype
    if dtype in _HALVES and not torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed():
        query, key, value = query.float(), key.float(), value.float()
    factor = math.sqrt(abs(scale)) if scale is not None else (query.shape[-1] or 1) ** -0.25
    scaled = query * (-factor if scale is not None and scale < 0 else factor)
    if causal:
        full = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device)
        mask = _as_additive(full.tril(), scaled)
    keys, values = key, value
    heads = query.shape[-3] if query.dim() > 2 else 1  # operands of two axes have no heads
    if grouped and not heads == key.shape[-3] == value.shape[-3]:
        keys = key.repeat_interleave(heads // key.shape[-3], -3)
        values = value.repeat_interleave(heads // value.shape[-3], -3)
    scores = torch.matmul(scaled, keys.transpose(-2, -1) * factor)
    if mask is not None:
        scores.add_(mask)
    scores = SAFE_SOFTMAX(scores, -1)
    if dropout:
        scores = torch.dropout(scores, dropout, True)
    returned = scores.to(dtype)  # noqa: F841  # torch's function also returns the weights: they live until it ends
    return torch.matmul(scores, values).to(dtype)
