"""Shape rules for elementwise functions, softmax, concatenation, padding, pooling and reductions."""

from __future__ import annotations

from typing import Any

import torch

from cnncost.frontends.torch.shapes.registry import Output, broadcast, packed, per_axis, ready, shapes

_SAME = """
relu relu6 hardtanh sigmoid tanh gelu silu mish elu selu celu leaky_relu softplus hardsigmoid hardswish log_sigmoid exp
log sqrt rsqrt neg abs square sin cos erf reciprocal """.split()


@shapes(*_SAME)
def _same(a: dict[str, Any]) -> list[Output] | None:
    x = a["self"]
    if a.get("approximate", "none") not in {"none", "tanh"}:
        return None
    return [packed(tuple(x.shape), x.dtype)] if x.is_floating_point() and x.is_contiguous() else None


@shapes("softmax", "_softmax", "log_softmax", "_log_softmax")
def _softmax(a: dict[str, Any]) -> list[Output] | None:
    x, axes = a["self"], max(a["self"].dim(), 1)
    if a.get("dtype") is not None or a.get("half_to_float") or not -axes <= a["dim"] < axes:
        return None
    return [packed(tuple(x.shape), x.dtype)] if x.is_floating_point() and x.is_contiguous() else None


@shapes("dropout")
def _dropout(a: dict[str, Any]) -> list[Output] | None:
    x = a["input"] if "input" in a else a["self"]  # the in-place op's name for it
    plain = x.is_floating_point() and x.is_contiguous() and 0 <= a["p"] <= 1
    # in eval mode the op returns its input
    return [packed(tuple(x.shape), x.dtype)] if plain and a["train"] and a["p"] > 0 else None


_COMPARISONS = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})


@shapes("add", "sub", "mul", "div", "pow", "maximum", "minimum", *_COMPARISONS)
def _binary(a: dict[str, Any]) -> list[Output] | None:
    x, y = a["self"], a["exponent"] if "exponent" in a else a["other"]
    if not isinstance(x, torch.Tensor) or not x.is_floating_point() or not x.is_contiguous() or a.get("rounding_mode"):
        return None
    dtype = torch.bool if a["__op__"] in _COMPARISONS else x.dtype
    if not isinstance(y, torch.Tensor):
        return [packed(tuple(x.shape), dtype)] if type(y) in {int, float} else None
    if y.dtype != x.dtype or not y.is_contiguous():
        return None
    shape = broadcast(tuple(x.shape), tuple(y.shape))
    return [packed(shape, dtype)] if shape is not None else None


@shapes("cat", "concat", "concatenate")
def _cat(a: dict[str, Any]) -> list[Output] | None:
    tensors, dim = a["tensors"], a["dim"]
    first = tensors[0].shape
    if not isinstance(dim, int) or not -len(first) <= dim < len(first) or not ready(*tensors):
        return None
    dim %= len(first)
    before, after = first[:dim], first[dim + 1 :]
    joined, checked = 0, first
    for tensor in tensors:
        size = tensor.shape
        if size != checked:
            if size[:dim] != before or size[dim + 1 :] != after:
                return None
            checked = size
        joined += size[dim]
    return [packed((*before, joined, *after), tensors[0].dtype)]


@shapes("pad", "constant_pad_nd")
def _pad(a: dict[str, Any]) -> list[Output] | None:
    x, pad = a["self"], list(a["pad"])
    if a.get("mode", "constant") != "constant" or len(pad) % 2 or len(pad) > 2 * x.dim() or not x.is_contiguous():
        return None
    shape = list(x.shape)
    for i, (before, after) in enumerate(zip(pad[::2], pad[1::2], strict=True), 1):
        shape[-i] += before + after
    # without any padding the result may be a view
    return [packed(tuple(shape), x.dtype)] if min(pad, default=0) >= 0 and any(pad) else None


@shapes(
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "max_pool2d_with_indices",
    "max_pool3d_with_indices",
)
def _pool(a: dict[str, Any]) -> list[Output] | None:
    x, size = a["self"], a["kernel_size"]
    axes = next(n for n in (1, 2, 3) if f"{n}d" in a["__op__"])
    # an empty stride means the kernel size
    sizes = [per_axis(a[n] or size, axes) if n == "stride" else per_axis(a.get(n, 1), axes)
             for n in ("kernel_size", "stride", "padding", "dilation")]  # fmt: skip
    if x.dim() != axes + 2 or not x.is_contiguous() or not x.is_floating_point():
        return None
    if a["__op__"].startswith("avg") and any(k > n for k, n in zip(sizes[0], x.shape[2:], strict=True)):
        return None  # some of torch's kernels reject such windows, whatever the padding
    geometry = zip(x.shape[2:], *sizes, strict=True)
    spatial = [
        _pooled(n, kernel, stride, pad, dilation, a["ceil_mode"]) for n, kernel, stride, pad, dilation in geometry
    ]
    if min(spatial) <= 0:
        return None
    shape = (*x.shape[:2], *spatial)
    indices = [packed(shape, torch.int64)] if a["__op__"].endswith("_indices") else []
    return [packed(shape, x.dtype), *indices]


def _pooled(size: int, kernel: int, stride: int, pad: int, dilation: int, ceil: bool) -> int:
    """Output length of a pooled axis; 0 for arguments that torch rejects."""
    if kernel < 1 or stride < 1 or dilation < 1 or not 0 <= pad <= kernel // 2:
        return 0
    reach = size + 2 * pad - dilation * (kernel - 1) - 1
    if reach < 0:
        return 0
    out = -(-reach // stride) + 1 if ceil else reach // stride + 1
    # the last window must start inside the input or its left padding
    return out - 1 if ceil and (out - 1) * stride >= size + pad else out


@shapes("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def _adaptive_pool(a: dict[str, Any]) -> list[Output] | None:
    x, size = a["self"], tuple(a["output_size"])
    if (
        f"{len(size)}d" not in a["__op__"]
        or x.dim() != len(size) + 2
        or not x.is_contiguous()
        or min(size, default=0) < 1
    ):
        return None
    return [packed((*x.shape[:2], *size), x.dtype)] if x.is_floating_point() else None


@shapes("mean", "sum", "amax", "amin")
def _reduce(a: dict[str, Any]) -> list[Output] | None:
    x, dims = a["self"], a.get("dim")
    if not x.is_floating_point() or a.get("dtype") is not None or not x.dim() or 0 in x.shape:
        return None
    dims = [dims] if isinstance(dims, int) else dims
    if dims and any(not -x.dim() <= d < x.dim() for d in dims):
        return None
    axes = {d % x.dim() for d in dims} if dims else set(range(x.dim()))
    if dims and len(axes) != len(dims):
        return None
    kept = [(1 if i in axes else n) for i, n in enumerate(x.shape) if a.get("keepdim") or i not in axes]
    return [packed(tuple(kept), x.dtype)]
