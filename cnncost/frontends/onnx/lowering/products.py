"""Convolutions and matrix products."""

from __future__ import annotations

from math import prod

from cnncost.frontends.onnx.lowering.registry import MICROSOFT, Attrs, Op, Outputs, Ref, Source, lowers, shapes
from cnncost.graph import Shape
from cnncost.tensor_types import TensorType


def padding_before(op: Op, x: Shape, y: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> Shape:
    """Return the padding before the first element of each spatial axis.

    The padding after the last one follows from the output's size.
    """
    auto, axes = op.get("auto_pad", "NOTSET"), len(kernel)
    if auto in {"NOTSET", ""}:
        return tuple((op.get("pads") or [0] * 2 * axes)[:axes])
    if auto == "VALID":
        return (0,) * axes
    found = []
    for size, out, k, s, d in zip(x, y, kernel, stride, dilation, strict=True):
        total = max((out - 1) * s + (k - 1) * d + 1 - size, 0)
        found.append(total // 2 if auto == "SAME_UPPER" else total - total // 2)
    return tuple(found)


def per_axis(op: Op, name: str, axes: int) -> Shape:
    """Return the attribute `name`: one number per spatial axis, by default 1."""
    return tuple(op.get(name) or [1] * axes)


@lowers("Conv", weights=(1, 2))
def conv(op: Op) -> Outputs | None:
    """x, w, bias?. x: N,C,*; w: K,C/g,*."""
    attrs = geometry(op, op.x().shape, op.x(1).shape)
    return None if attrs is None else op.lower_to("conv", {**attrs, **op.integers(0, 1)})


def geometry(op: Op, x: Shape, w: Shape) -> Attrs | None:
    """Return a convolution's attributes; None unless x and w have equally many spatial axes, one to three."""
    axes = len(w) - 2
    if not 1 <= axes <= 3 or len(x) != len(w):
        return None
    stride, dilation = per_axis(op, "strides", axes), per_axis(op, "dilations", axes)
    return {
        "kernel": w[2:], "stride": stride, "dilation": dilation, "groups": op.get("group", 1), "transposed": False,
        "padding": padding_before(op, x[2:], op.y().shape[2:], w[2:], stride, dilation), "output_padding": (0,) * axes,
        "bias": op.has(2),
    }  # fmt: skip


@lowers("ConvTranspose", weights=(1, 2))
def conv_transpose(op: Op) -> Outputs | None:
    """x: N,C,*; w: C,K/g,*. With `output_shape`, or `auto_pad`, the padding follows from the output's size."""
    x, w, y = op.x().shape, op.x(1).shape, op.y().shape
    axes = len(w) - 2
    if not 1 <= axes <= 3 or len(x) != len(w):
        return None
    stride, dilation = per_axis(op, "strides", axes), per_axis(op, "dilations", axes)
    extra = tuple(op.get("output_padding") or [0] * axes)
    auto = op.get("auto_pad", "NOTSET")
    padding = tuple((op.get("pads") or [0] * 2 * axes)[:axes])
    if "output_shape" in op.attributes or auto in {"SAME_UPPER", "SAME_LOWER"}:
        geometry = zip(x[2:], y[2:], w[2:], stride, dilation, extra, strict=True)
        totals = [max(s * (n - 1) + e + (k - 1) * d + 1 - out, 0) for n, out, k, s, d, e in geometry]
        padding = tuple(total // 2 if auto == "SAME_UPPER" else total - total // 2 for total in totals)
    elif auto == "VALID":
        padding = (0,) * axes
    attrs: Attrs = {
        "kernel": w[2:], "stride": stride, "padding": padding, "dilation": dilation, "groups": op.get("group", 1),
        "transposed": True, "output_padding": extra, "bias": op.has(2), **op.integers(0, 1),
    }  # fmt: skip
    return op.lower_to("conv", attrs)


@lowers("DeformConv", weights=(1, 3))
def deform_conv(op: Op) -> Outputs | None:
    """x, w, offset, bias?, mask?."""
    if len(op.x().shape) != 4:
        return None
    axes, w = 2, op.x(1).shape
    stride, dilation = per_axis(op, "strides", axes), per_axis(op, "dilations", axes)
    attrs: Attrs = {
        "groups": op.get("group", 1), "offset_groups": op.get("offset_group", 1), "masked": op.has(4), "kernel": w[2:],
        "stride": stride, "padding": tuple((op.get("pads") or [0] * 4)[:axes]), "dilation": dilation,
    }  # fmt: skip
    return op.lower_to("deform_conv", attrs, op.present(0, 1, 2, 4, 3))


def product(left: Shape, right: Shape, bias: bool = False) -> Attrs:
    """Return a product's sizes by the rules of `torch.matmul`: a vector is a row or a column, batch axes broadcast."""
    rows, columns = left if len(left) > 1 else (1, *left), right if len(right) > 1 else (*right, 1)
    size = max(len(rows), len(columns)) - 2
    padded = [(1,) * (size - len(s) + 2) + s[:-2] for s in (rows, columns)]
    batch = prod(b if a == 1 else a for a, b in zip(*padded, strict=True))
    return {"batch": batch, "m": rows[-2], "k": rows[-1], "n": columns[-1], "bias": bias}


@lowers("MatMul", weights=(0, 1))
def matmul(op: Op) -> Outputs:
    """a, b."""
    return op.lower_to("matmul", {**product(op.x().shape, op.x(1).shape), **op.integers(0, 1)})


@lowers("Gemm", weights=(0, 1, 2))
def gemm(op: Op) -> Outputs:
    """α·A·B + β·C; A and B may be transposed. A factor other than 1 adds a multiplication per element."""
    return [gemm_steps(op)]


def gemm_steps(op: Op) -> Ref:
    """Append the steps of Gemm. With `transB` the product is a linear layer, whose weight torch stores as N,K."""
    alpha, beta = op.get("alpha", 1.0), op.get("beta", 1.0)
    added = op.has(2) and beta != 0.0
    y, integer = op.y(), op.integers(0, 1)
    a: Source = op.permuted(0, (1, 0), copy=False) if op.get("transA") else 0
    addend: Source = 2
    if added and beta != 1.0:
        addend = op.pointwise("mul", [2])
    unscaled = alpha == 1.0
    bias = added and unscaled
    if op.get("transB"):
        fits = not bias or op.type_of(addend).shape in {y.shape, y.shape[-1:]}
        last = [addend] if bias and fits else []
        result = op.step("linear", {"bias": bool(last), **integer}, [a, 1, *last], y)
        bias = bool(last)
    else:
        sizes = {**product(op.type_of(a).shape, op.x(1).shape, bias), **integer, **({"addend": True} if bias else {})}
        result = op.step("matmul", sizes, [*([addend] if bias else []), a, 1], y)
    if not unscaled:
        result = op.pointwise("mul", [result])
    return op.pointwise("add", [result, addend]) if added and not bias else result


def _factor_order(op: Op, index: int) -> tuple[int, ...]:
    """Return the permutation that FusedMatMul applies to a factor before the product.

    `transBatch` moves the first axis behind the batch axes, as rows; `trans` then swaps the last two axes.
    """
    name, order = "AB"[index], list(range(len(op.x(index).shape)))
    if op.get(f"transBatch{name}"):
        order = [*order[1:-1], 0, order[-1]]
    if op.get(f"trans{name}"):
        order[-2:] = order[:-3:-1]
    return tuple(order)


@shapes("FusedMatMul")
def fused_matmul_type(op: Op) -> list[TensorType | None] | None:
    """The type that MatMul returns for the permuted factors."""
    if min(len(op.x().shape), len(op.x(1).shape)) < 2:
        return None
    left, right = (tuple(op.x(i).shape[axis] for axis in _factor_order(op, i)) for i in range(2))
    if left[-1] != right[-2]:
        return None
    size = max(len(left), len(right)) - 2
    padded = [(1,) * (size - len(s) + 2) + s[:-2] for s in (left, right)]
    batch = tuple(b if a == 1 else a for a, b in zip(*padded, strict=True))
    return [op.x()._replace(shape=(*batch, left[-2], right[-1]))]


@lowers("FusedMatMul", domain=MICROSOFT, weights=(0, 1))
def fused_matmul(op: Op) -> Outputs:
    """α·A·B."""
    sides: list[Source] = [0, 1]
    for i in range(2):
        order = _factor_order(op, i)
        if order != tuple(range(len(order))):
            sides[i] = op.permuted(i, order, copy=False)
    sizes = product(op.type_of(sides[0]).shape, op.type_of(sides[1]).shape)
    result = op.step("matmul", sizes, sides)
    return [result if op.get("alpha", 1.0) == 1.0 else op.pointwise("mul", [result])]
