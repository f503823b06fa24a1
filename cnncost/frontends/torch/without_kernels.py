"""Creates results of ops that have no meta kernel, although their output shapes depend only on input shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from cnncost.errors import DataDependentError
from cnncost.frontends.torch.compat import facts
from cnncost.frontends.torch.compat.distributed import without_its_autograd

_META = torch.device("meta")
_DRIVERS = frozenset({"gels", "gelsy", "gelsd", "gelss"})


def _least_squares(a: dict[str, Any]) -> Any:
    """A: *,m,n; B: *,m,k, or *,m → solution: *,n,k, or *,n; residuals: *,k; rank: *; singular values: *,min(m,n).

    The driver, on a CPU by default `gelsy`, determines which of these LAPACK computes; the others are empty.

    Raises:
        RuntimeError: torch would raise for these shapes, dtypes or driver, too.
        DataDependentError: whether there are residuals depends on the rank.
    """
    x, b, driver = a["self"], a["b"], a["driver"] or "gelsy"
    if driver not in _DRIVERS:
        raise RuntimeError(f"linalg.lstsq: driver: expected one of {', '.join(sorted(_DRIVERS))}, but got {driver!r}")
    if x.dim() < 2 or not 0 <= x.dim() - b.dim() <= 1 or not b.dim():
        raise RuntimeError(f"linalg.lstsq: the shapes {tuple(x.shape)} and {tuple(b.shape)} don't fit")
    (*batch, m, n), is_single = x.shape, x.dim() > b.dim()
    sides = b.unsqueeze(-1) if is_single else b
    k = sides.shape[-1]
    if list(sides.shape[:-1]) != [*batch, m]:
        raise RuntimeError(f"linalg.lstsq: right-hand side: expected {(*batch, m)} rows, but got {tuple(b.shape)}")
    if x.dtype != b.dtype:
        raise RuntimeError(f"linalg.lstsq: expected one dtype, but got {x.dtype} and {b.dtype}")
    by_rank = driver in {"gelsd", "gelss"}
    if m > n > 0 and by_rank:
        raise DataDependentError("whether linalg.lstsq has residuals depends on the rank")
    # LAPACK returns the solution in column-major order, in a buffer that also has room for B
    rows = torch.empty((*batch, k, max(m, n)), dtype=x.dtype, device=_META)
    solution = rows.transpose(-1, -2).narrow(-2, 0, n)
    real = x.real.dtype if x.is_complex() else x.dtype
    residuals = (*batch, k) if m > n and driver != "gelsy" else (0,)
    return (
        solution.squeeze(-1) if is_single else solution,
        torch.empty(residuals, dtype=real, device=_META),
        torch.empty((0,) if driver == "gels" else batch, dtype=torch.int64, device=_META),
        torch.empty((*batch, min(m, n)) if by_rank else (0,), dtype=real, device=_META),
    )


def _nothing(_: dict[str, Any]) -> None:
    """Return None, like an in-place fused optimizer step."""


def _convolution(a: dict[str, Any]) -> torch.Tensor:
    """N,C,* → N,O,*, from the meta kernel of `aten::convolution`."""
    args = [a[name] for name in ("input", "weight", "bias")]
    like = [None if t is None else torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device=_META) for t in args]
    settings = [a[name] for name in ("stride", "padding", "dilation", "transposed", "output_padding", "groups")]
    result: torch.Tensor = torch.ops.aten.convolution.default(*like, *settings)
    return result


def _weight_norm_backward(a: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of the direction v and the magnitude g, each of that tensor's shape."""
    return torch.empty_like(a["saved_v"], device=_META), torch.empty_like(a["saved_g"], device=_META)


def _like_first(a: dict[str, Any]) -> torch.Tensor:
    """A result with the shape and dtype of the first argument: samples, their gradients, rounded numbers, a tangent."""
    return torch.empty_like(next(iter(a.values())), device=_META)


def _fake_quantized(a: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """The rounded numbers, and a mask of those within the range. Both have the argument's shape."""
    x = a["self"]
    return torch.empty_like(x, device=_META), torch.empty_like(x, dtype=torch.bool, device=_META)


def _learned_quantization_backward(a: dict[str, Any]) -> tuple[torch.Tensor, ...]:
    """Gradients of the numbers, their scale and their zero point."""
    return tuple([torch.empty_like(a[name], device=_META) for name in ("self", "scale", "zero_point")])


FROM_SIZES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "aten::linalg_lstsq": _least_squares,
    **{f"aten::{name}": _like_first for name in (
        "_sample_dirichlet", "_dirichlet_grad", "_standard_gamma", "_standard_gamma_grad", "binomial",
        "fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine",
        "_fake_quantize_learnable_per_tensor_affine", "_fake_quantize_learnable_per_channel_affine", "glu_jvp",
    )},
    **{f"aten::{name}": _fake_quantized for name in (
        "fake_quantize_per_tensor_affine_cachemask", "fake_quantize_per_channel_affine_cachemask",
        "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams",
    )},
    **{f"aten::_fake_quantize_learnable_per_{what}_affine_backward": _learned_quantization_backward
       for what in ("tensor", "channel")},
    **{f"aten::_fused_{name}_": _nothing for name in ("adam", "adamw", "sgd", "adagrad")},
    **({} if facts.TRACED_CONVOLUTIONS_RUN_ON_META else {"aten::_convolution": _convolution}),
    **(
        {} if facts.WEIGHT_NORM_HAS_GRADIENTS_ON_META
        else {"aten::_weight_norm_interface_backward": _weight_norm_backward}
    ),
    **{
        f"_c10d_functional_autograd::{name}": without_its_autograd(name)
        for name in ("all_gather_into_tensor", "reduce_scatter_tensor", "all_to_all_single")
        if not facts.COLLECTIVES_HAVE_DERIVATIVES_ON_META
    },
}  # fmt: skip
"""By schema name, functions from an op's arguments (by name) to its result, which consists of meta tensors."""
