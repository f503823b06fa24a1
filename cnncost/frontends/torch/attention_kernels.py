"""Select the kernel that `scaled_dot_product_attention` uses on a device.

On meta tensors torch always selects the reference, which materializes scores. The conditions are those of ATen's
`sdp_utils_cpp.h` and `sdp_utils_cpp.cpp` (CPU) and `cuda/sdp_utils.cpp`; if CUDA's depend on the GPU, compute
capability 8.0 or later is assumed. Axes are counted from the last. `compat/facts.py` lists version differences.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch

from cnncost.frontends.torch.compat import facts

REFERENCE = "math"
"""Torch's implementation as separate ops, used if no fused kernel supports the call."""


class Attention(NamedTuple):
    """Arguments of a call. query: *,H,L,E; key: *,H,S,E; value: *,H,S,V; mask broadcasts to *,H,L,S.

    `causal` is `is_causal`, and `grouped` is `enable_gqa`.
    """

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
    """True if all operands are strided and have four axes, or three if torch adds a batch axis."""
    axes = {tensor.dim() for tensor in a.operands}
    fits = axes == {4} or (axes == {3} and facts.ATTENTION_TAKES_THREE_AXES)
    return fits and all(tensor.layout is torch.strided for tensor in a.operands)


def _same_batch(a: Attention) -> bool:
    return a.query.shape[:-3] == a.key.shape[:-3] == a.value.shape[:-3]


def _same_heads(a: Attention) -> bool:
    return a.query.shape[-3] == a.key.shape[-3] == a.value.shape[-3]


def _one_head_for_all(a: Attention) -> bool:
    """True if keys and values have one head that is broadcast without `enable_gqa`."""
    broadcast = a.query.shape[-3] > 0 and a.key.shape[-3] == a.value.shape[-3] == 1
    return broadcast and not a.grouped and facts.ATTENTION_BROADCASTS_ONE_HEAD


def _heads_fit(a: Attention) -> bool:
    """True if keys and values have as many heads as queries, or one, or a divisor of that number with `enable_gqa`."""
    heads, key_heads = a.query.shape[-3], a.key.shape[-3]
    if not a.grouped:
        return _same_heads(a) or _one_head_for_all(a)
    return key_heads == a.value.shape[-3] and key_heads > 0 and heads % key_heads == 0


def _heads_fit_efficient(a: Attention) -> bool:
    """`_heads_fit` for the efficient kernel. Newer versions take groups; keys and values may then differ in heads."""
    if not a.grouped or not facts.EFFICIENT_ATTENTION_TAKES_GROUPS:
        return _same_heads(a) or _one_head_for_all(a)
    heads = a.query.shape[-3]
    return all(t.shape[-3] > 0 and heads % t.shape[-3] == 0 for t in (a.key, a.value))


def _same_width(a: Attention) -> bool:
    return a.query.shape[-1] == a.key.shape[-1] == a.value.shape[-1]


def _not_empty(a: Attention) -> bool:
    return all(tensor.numel() for tensor in a.operands)


def _contiguous_rows(a: Attention) -> bool:
    return all(tensor.stride(-1) == 1 for tensor in a.operands)


def _no_dropout(a: Attention) -> bool:
    return not a.dropout


def _no_mask(a: Attention) -> bool:
    return a.mask is None


def _mask_fits(a: Attention) -> bool:
    """True if there is no mask, or one whose sizes are full or 1 and that requires no gradient (even in no-grad mode).

    The mask must have two or four axes. With operands of three axes, which get a batch axis of size 1, it may have any
    number: missing axes are added.
    """
    if a.mask is None:
        return True
    batch = a.query.shape[0] if a.query.dim() == 4 else 1
    full_shape = (batch, *a.query.shape[-3:-1], a.key.shape[-2])
    if a.mask.requires_grad or (a.mask.dim() not in {2, 4} and a.query.dim() == 4):
        return False
    return all(n in {1, size} for n, size in zip(a.mask.shape[::-1], full_shape[::-1], strict=False))


def _square_if_causal(a: Attention) -> bool:
    return not a.causal or a.query.shape[-2] == a.key.shape[-2]


def _dtype_in(*dtypes: torch.dtype) -> Condition:
    return lambda a: a.query.dtype == a.key.dtype == a.value.dtype and a.query.dtype in dtypes


def _at_most_256_wide(a: Attention) -> bool:
    return a.query.shape[-1] <= 256  # the kernel keeps rows in registers


def _aligned(a: Attention) -> bool:
    """True if queries and keys are equally wide, and all widths are nonzero multiples of 16 bytes."""
    multiple = 16 // a.query.element_size()
    return a.query.shape[-1] == a.key.shape[-1] and all(t.shape[-1] and t.shape[-1] % multiple == 0 for t in a.operands)


_HALVES = (torch.float16, torch.bfloat16)
_FLASH: Callable[[], bool] = torch.backends.cuda.flash_sdp_enabled  # the CPU uses the same flag
_EFFICIENT: Callable[[], bool] = torch.backends.cuda.mem_efficient_sdp_enabled
KERNELS: dict[str, tuple[tuple[str, Callable[[], bool], tuple[Condition, ...]], ...]] = {
    "cpu": (
        ("flash", _FLASH, (
            _axes_fit, _no_dropout, _same_batch, _heads_fit, _mask_fits, _same_width, _not_empty,
            _contiguous_rows, _dtype_in(torch.float32, torch.float64, *_HALVES),
        )),
    ),
    "cuda": (
        ("flash", _FLASH, (
            _axes_fit, _no_mask, _same_batch, _heads_fit, _same_width, _at_most_256_wide, _not_empty, _square_if_causal,
            _contiguous_rows, _dtype_in(*_HALVES),
        )),
        ("efficient", _EFFICIENT, (
            _axes_fit, _same_batch, _heads_fit_efficient, _aligned, _not_empty, _contiguous_rows,
            _dtype_in(torch.float32, *_HALVES),
        )),
    ),
}  # fmt: skip
"""By device: the kernels in the order in which torch tries them, each with a function that returns whether it is
enabled, and its conditions."""


def kernel_of(attention: Attention, device: str) -> str:
    """Return `flash`, `efficient`, or the reference, `math`. Devices not in `KERNELS` are treated like CUDA."""
    for name, is_enabled, conditions in KERNELS.get(device, KERNELS["cuda"]):
        if is_enabled() and all(fits(attention) for fits in conditions):
            return name
    return REFERENCE
