"""Select the kernel that `scaled_dot_product_attention` uses on a device.

On meta tensors torch selects no kernel but the reference, which materializes scores. The conditions are those of
ATen's `sdp_utils_cpp.h` and `sdp_utils_cpp.cpp` (CPU) and `cuda/sdp_utils.cpp`; if CUDA's depend on the card, compute
capability 8.0 or later is assumed. Axes are counted from the last. `compat/facts.py` lists version differences.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch

from cnncost.frontends.torch.compat import facts

REFERENCE = "math"
"""Torch's implementation by single ops, used if no kernel fits."""


class Attention(NamedTuple):
    """Arguments of a call. query: *,H,L,E; key: *,H,S,E; value: *,H,S,V; mask broadcasts to *,H,L,S."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    mask: torch.Tensor | None
    dropout: float
    causal: bool
    grouped: bool

    @property
    def operands(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values."""
        return self.query, self.key, self.value


Condition: TypeAlias = Callable[[Attention], bool]


def _axes_fit(a: Attention) -> bool:
    """True if there are four axes, or three if torch adds a batch of one."""
    axes = {tensor.dim() for tensor in a.operands}
    fits = axes == {4} or (axes == {3} and facts.ATTENTION_TAKES_THREE_AXES)
    return fits and all(tensor.layout is torch.strided for tensor in a.operands)


def _one_batch(a: Attention) -> bool:
    return a.query.shape[:-3] == a.key.shape[:-3] == a.value.shape[:-3]


def _same_heads(a: Attention) -> bool:
    return a.query.shape[-3] == a.key.shape[-3] == a.value.shape[-3]


def _one_head_for_all(a: Attention) -> bool:
    """True if keys and values have one head that is broadcast without `enable_gqa`."""
    broadcast = a.query.shape[-3] > 0 and a.key.shape[-3] == a.value.shape[-3] == 1
    return broadcast and not a.grouped and facts.ATTENTION_BROADCASTS_ONE_HEAD


def _heads_fit(a: Attention) -> bool:
    """True if keys and values have as many heads as queries, one, or a divisor of them with `enable_gqa`."""
    heads, groups = a.query.shape[-3], a.key.shape[-3]
    if not a.grouped:
        return _same_heads(a) or _one_head_for_all(a)
    return groups == a.value.shape[-3] and groups > 0 and heads % groups == 0


def _heads_fit_efficient(a: Attention) -> bool:
    """`_heads_fit` for the efficient kernel: grouped heads only in newer versions; keys and values may differ there."""
    if not a.grouped or not facts.EFFICIENT_ATTENTION_TAKES_GROUPS:
        return _same_heads(a) or _one_head_for_all(a)
    heads = a.query.shape[-3]
    return all(t.shape[-3] > 0 and heads % t.shape[-3] == 0 for t in (a.key, a.value))


def _one_width(a: Attention) -> bool:
    return a.query.shape[-1] == a.key.shape[-1] == a.value.shape[-1]


def _not_empty(a: Attention) -> bool:
    return all(tensor.numel() for tensor in a.operands)


def _rows_without_gaps(a: Attention) -> bool:
    return all(tensor.stride(-1) == 1 for tensor in a.operands)


def _no_dropout(a: Attention) -> bool:
    return not a.dropout


def _no_mask(a: Attention) -> bool:
    return a.mask is None


def _constant_mask(a: Attention) -> bool:
    """True if the mask has two or four axes, each full or 1, and requires no gradient (even if grad mode is off).

    If operands get a batch of one, masks get their missing axes.
    """
    if a.mask is None:
        return True
    batch = a.query.shape[0] if a.query.dim() == 4 else 1
    whole = (batch, *a.query.shape[-3:-1], a.key.shape[-2])
    if a.mask.requires_grad or (a.mask.dim() not in {2, 4} and a.query.dim() == 4):
        return False
    return all(n in {1, size} for n, size in zip(a.mask.shape[::-1], whole[::-1], strict=False))


def _square_if_causal(a: Attention) -> bool:
    return not a.causal or a.query.shape[-2] == a.key.shape[-2]


def _of(*dtypes: torch.dtype) -> Condition:
    return lambda a: a.query.dtype == a.key.dtype == a.value.dtype and a.query.dtype in dtypes


def _narrow(a: Attention) -> bool:
    return a.query.shape[-1] <= 256  # registers hold no more


def _aligned(a: Attention) -> bool:
    """True if widths are multiples of 16 bytes."""
    step = 16 // a.query.element_size()
    return a.query.shape[-1] == a.key.shape[-1] and all(t.shape[-1] and t.shape[-1] % step == 0 for t in a.operands)


_HALVES = (torch.float16, torch.bfloat16)
_FLASH: Callable[[], bool] = torch.backends.cuda.flash_sdp_enabled  # the CPU uses the same flag
_EFFICIENT: Callable[[], bool] = torch.backends.cuda.mem_efficient_sdp_enabled
KERNELS: dict[str, tuple[tuple[str, Callable[[], bool], tuple[Condition, ...]], ...]] = {
    "cpu": (
        ("flash", _FLASH, (
            _axes_fit, _no_dropout, _one_batch, _heads_fit, _constant_mask, _one_width, _not_empty,
            _rows_without_gaps, _of(torch.float32, torch.float64, *_HALVES),
        )),
    ),
    "cuda": (
        ("flash", _FLASH, (
            _axes_fit, _no_mask, _one_batch, _heads_fit, _one_width, _narrow, _not_empty, _square_if_causal,
            _rows_without_gaps, _of(*_HALVES),
        )),
        ("efficient", _EFFICIENT, (
            _axes_fit, _one_batch, _heads_fit_efficient, _aligned, _not_empty, _rows_without_gaps,
            _of(torch.float32, *_HALVES),
        )),
    ),
}  # fmt: skip
"""By device: kernels in the order in which they are tried, whether each is enabled, and its conditions."""


def kernel_of(attention: Attention, device: str) -> str:
    """`flash`, `efficient`, or the reference, `math`. Devices without rules here are treated like CUDA."""
    for name, is_on, conditions in KERNELS.get(device, KERNELS["cuda"]):
        if is_on() and all(fits(attention) for fits in conditions):
            return name
    return REFERENCE
