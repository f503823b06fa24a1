"""Checks that torch makes on real tensors but not on meta tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch

Check: TypeAlias = Callable[[dict[str, Any]], None]

CHECKS: dict[str, Check] = {}
"""Checks by op name. A check gets the op's arguments by name, and its name as `__op__`; it raises where torch would."""


def _checks(*names: str) -> Callable[[Check], Check]:
    def register(function: Check) -> Check:
        CHECKS.update(dict.fromkeys(names, function))
        return function

    return register


def _require_one_dtype(*tensors: Any) -> None:
    dtypes = {t.dtype for t in tensors if isinstance(t, torch.Tensor)}
    if len(dtypes) > 1:
        names = " and ".join(sorted(str(d).removeprefix("torch.") for d in dtypes))
        raise RuntimeError(f"expected operands of the same dtype, but got {names}")


@_checks(
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "convolution",
    "_convolution",
)  # fmt: skip
def _conv(a: dict[str, Any]) -> None:
    x, w, bias, padding = a["input"], a["weight"], a["bias"], a["padding"]
    _require_one_dtype(x, w, bias)
    transposed = bool(a.get("transposed", a["__op__"].startswith("conv_transpose")))
    axes = w.dim() - 2
    in_channels = w.shape[0] if transposed else w.shape[1] * a["groups"]
    if x.dim() in (axes + 1, axes + 2) and x.shape[-axes - 1] != in_channels:
        raise RuntimeError(f"expected {in_channels} input channels, but got {x.shape[-axes - 1]}")
    out_channels = w.shape[1] * a["groups"] if transposed else w.shape[0]
    if bias is not None and tuple(bias.shape) != (out_channels,):
        raise RuntimeError(f"expected a bias of {out_channels} elements, but got {tuple(bias.shape)}")
    sizes = padding if isinstance(padding, (list, tuple)) else [padding]
    if any(isinstance(n, int) and n < 0 for n in sizes):
        raise RuntimeError(f"expected padding that is not negative, but got {padding}")


@_checks("linear", "mm", "bmm", "matmul", "mv", "dot", "addmm", "baddbmm", "addmv", "bilinear")
def _product(a: dict[str, Any]) -> None:
    _require_one_dtype(*a.values())


@_checks("embedding")
def _embedding(a: dict[str, Any]) -> None:
    """Check the indices' dtype, as torch does on meta tensors only since 2.13."""
    if (dtype := a["indices"].dtype) not in (torch.int64, torch.int32):
        raise RuntimeError(f"expected indices of dtype int64 or int32, but got {dtype}")


@_checks("batch_norm", "native_batch_norm")
def _batch_norm(a: dict[str, Any]) -> None:
    if not a["training"] and (a["running_mean"] is None or a["running_var"] is None):
        raise RuntimeError("expected running_mean and running_var in evaluation mode")
    x = a["input"]
    per_channel = [a[n] for n in ("weight", "bias", "running_mean", "running_var") if a[n] is not None]
    # torch allows one mix: float32 weight, bias and running statistics with a 16-bit input
    if any(t.dtype != x.dtype and (t.dtype, x.dtype.itemsize) != (torch.float32, 2) for t in per_channel):
        raise RuntimeError(
            "expected weight, bias and running statistics of the input's dtype, or float32 for a 16-bit input"
        )


@_checks("softmax", "log_softmax", "_softmax", "_log_softmax", "_safe_softmax")
def _softmax(a: dict[str, Any]) -> None:
    x, dim = a["self"], a["dim"]
    n = max(x.dim(), 1)
    if not -n <= dim < n:
        raise IndexError(f"dimension out of range: expected a dim from {-n} to {n - 1}, but got {dim}")


@_checks("mean", "sum", "amax", "amin")
def _reduce(a: dict[str, Any]) -> None:
    x, dims = a["self"], a.get("dim")
    if isinstance(dims, (list, tuple)) and len({d % max(x.dim(), 1) for d in dims}) != len(dims):
        raise RuntimeError(f"expected distinct axes in dim, but got {tuple(dims)}")


@_checks("masked_fill", "masked_scatter", "masked_select")
def _mask(a: dict[str, Any]) -> None:
    if (mask := a["mask"]).dtype is not torch.bool:
        raise RuntimeError(f"{a['__op__']} only supports boolean masks, but got a mask with dtype {mask.dtype}")
