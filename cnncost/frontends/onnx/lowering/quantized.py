"""Ops on 8-bit integers: their multiply-accumulates count as MACs but not as FLOPs.

This includes products of two outputs of DequantizeLinear; other floating-point ops between DequantizeLinear and
QuantizeLinear count as floating-point ops.
"""

from __future__ import annotations

from math import prod

from cnncost.frontends.onnx.lowering.products import padding_before, per_axis, product
from cnncost.frontends.onnx.lowering.registry import MICROSOFT, Attrs, Op, Outputs, Ref, lowers, shapes
from cnncost.graph import Shape
from cnncost.tensor_types import TensorType


@shapes("QuantizeLinear")
def quantized_type(op: Op) -> list[TensorType | None]:
    """y: the shape of x, the zero point's dtype."""
    return [op.x()._replace(dtype=op.x(2).dtype if op.has(2) else "uint8")]


@shapes("DequantizeLinear")
def dequantized_type(op: Op) -> list[TensorType | None]:
    """y: the shape of x, the scale's dtype."""
    return [op.x()._replace(dtype=op.x(1).dtype)]


@lowers("QuantizeLinear")
@lowers("QuantizeLinear", domain=MICROSOFT)
def quantize(op: Op) -> Outputs:
    """x, scale, zero point?."""
    return op.lower_to("quantize", {"fn": "quantize"})


@lowers("DequantizeLinear", weights=(0,))
@lowers("DequantizeLinear", domain=MICROSOFT, weights=(0,))
def dequantize(op: Op) -> Outputs:
    """x, scale, zero point?; x may be a weight."""
    return op.lower_to("quantize", {"fn": "dequantize"})


def can_defer(op: Op) -> bool:
    """Return True if a product may read a DequantizeLinear's integers: 8 bits, not packed, no scale per block.

    The node is then recorded only if another op reads the floating-point result.
    """
    if op.type != "DequantizeLinear" or op.x().dtype not in {"int8", "uint8"} or op.get("block_size"):
        return False
    return not any(tensor is not None and tensor.packed for tensor in op.inputs)


@lowers("DynamicQuantizeLinear")
def dynamic(op: Op) -> Outputs:
    """Outputs: y, its scale, its zero point."""
    return op.lower_to("quantize", {"fn": "dynamic"})


def _conv(x: Shape, w: Shape, y: Shape) -> Attrs | None:
    """Return a quantized convolution's sizes; None unless x and w have equally many spatial axes, one to three."""
    if not 3 <= len(w) <= 5 or len(x) != len(w):
        return None
    return {"kernel": prod(w[2:]), "per_group": w[1], "out": w[0], "batch": x[0], "positions": prod(y[2:]),
            "dynamic": False}  # fmt: skip


@lowers("QLinearConv", weights=(3, 8))
def qlinear_conv(op: Op) -> Outputs | None:
    """x, its scale and zero point; w, its scale and zero point; scale and zero point of y; bias?."""
    attrs = _conv(op.x().shape, op.x(3).shape, op.y().shape)
    return None if attrs is None else op.lower_to("quantized_conv", attrs)


# ---- channels last: the layout in which ONNX Runtime writes quantized networks for CPUs


def _channels_first(x: Shape) -> Shape:
    """Move channels first: N,*,C to N,C,*."""
    return (x[0], x[-1], *x[1:-1])


def _channels_last(x: Shape) -> Shape:
    """Move channels last: N,C,* to N,*,C."""
    return (x[0], *x[2:], x[1])


def _channels_order(rank: int, first: bool) -> Shape:
    """Return the permutation that moves channels to the front or to the end."""
    return (0, rank - 1, *range(1, rank - 1)) if first else (0, *range(2, rank), 1)


def window_positions(op: Op, x: Shape, kernel: Shape) -> Shape | None:
    """Return the number of window positions along each spatial axis, whose sizes are `x`; None if no window fits."""
    one, auto = [1] * len(x), op.get("auto_pad", "NOTSET")
    strides, dilations = op.get("strides") or one, op.get("dilations") or one
    if auto in {"SAME_UPPER", "SAME_LOWER"}:
        return tuple(-(-n // s) for n, s in zip(x, strides, strict=True))
    pads = [0] * 2 * len(x) if auto == "VALID" else op.get("pads") or [0] * 2 * len(x)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    room = [n + pads[i] + pads[len(x) + i] - span for i, (n, span) in enumerate(zip(x, spans, strict=True))]
    if min(room) < 0:
        return None
    ceil = bool(op.get("ceil_mode"))
    found = []
    for i, (free, s) in enumerate(zip(room, strides, strict=True)):
        count = (-(-free // s) if ceil else free // s) + 1
        if ceil and (count - 1) * s >= x[i] + pads[i]:  # the last window would start beyond the image
            count -= 1
        found.append(count)
    return tuple(found)


@shapes("QLinearConv")
def nhwc_conv_type(op: Op) -> list[TensorType | None] | None:
    """x: N,*,C with `channels_last`, else N,C,*; w: K,C/g,*. y: the layout of x, the dtype of y's zero point."""
    x, w = op.x().shape, op.x(3).shape
    if len(x) != len(w) or len(w) < 3:
        return None
    inner = _channels_first(x) if op.get("channels_last") else x
    space = window_positions(op, inner[2:], w[2:])
    if space is None or inner[1] != w[1] * op.get("group", 1):
        return None
    y = (x[0], w[0], *space)
    return [TensorType(_channels_last(y) if op.get("channels_last") else y, op.x(7).dtype)]


@lowers("QLinearConv", domain=MICROSOFT, weights=(3, 8))
def nhwc_conv(op: Op) -> Outputs | None:
    """Like ONNX's QLinearConv, but channels may be last."""
    if not op.get("channels_last"):
        return qlinear_conv(op)
    x, w, y = op.x(), op.x(3).shape, op.y()
    attrs = _conv(_channels_first(x.shape), w, _channels_first(y.shape))
    if attrs is None:
        return None
    permuted = op.permuted(0, _channels_order(len(w), first=True), copy=False)
    result = op.step("quantized_conv", attrs, [permuted, *op.present()[1:]], y._replace(shape=_channels_first(y.shape)))
    return [op.permuted(result, _channels_order(len(w), first=False), copy=False)]


@shapes("NhwcMaxPool")
def nhwc_pool_type(op: Op) -> list[TensorType | None] | None:
    """x: N,*,C."""
    x = op.x().shape
    space = window_positions(op, x[1:-1], tuple(op.get("kernel_shape") or ())) if len(x) > 2 else None
    return None if space is None else [op.x()._replace(shape=(x[0], *space, x[-1]))]


@lowers("NhwcMaxPool", domain=MICROSOFT)
def nhwc_pool(op: Op) -> Outputs | None:
    """x: N,*,C, in 8-bit integers, which are only compared."""
    x, y, kernel = op.x().shape, op.y(), tuple(op.get("kernel_shape"))
    if not 1 <= len(kernel) <= 3 or len(x) != len(kernel) + 2:
        return None
    stride, dilation = per_axis(op, "strides", len(kernel)), per_axis(op, "dilations", len(kernel))
    attrs: Attrs = {
        "fn": "max", "kernel": kernel, "stride": stride, "dilation": dilation, "ceil": bool(op.get("ceil_mode", 0)),
        "padding": padding_before(op, x[1:-1], y.shape[1:-1], kernel, stride, dilation),
    }  # fmt: skip
    permuted = op.permuted(0, _channels_order(len(x), first=True), copy=False)
    result = op.step("pool", attrs, [permuted], y._replace(shape=_channels_first(y.shape)))
    return [op.permuted(result, _channels_order(len(x), first=False), copy=False)]


@lowers("ConvInteger", weights=(1,))
def conv_integer(op: Op) -> Outputs | None:
    """x, w, their zero points?. Returns 32-bit accumulators, which are not rescaled."""
    attrs = _conv(op.x().shape, op.x(1).shape, op.y().shape)
    return None if attrs is None else op.lower_to("quantized_conv", attrs)


def _product(left: Shape, right: Shape) -> Attrs:
    sizes = product(left, right)
    rows = int(sizes["batch"]) * int(sizes["m"])  # type: ignore[arg-type]  # they are ints
    return {"rows": rows, "in": sizes["k"], "out": sizes["n"], "dynamic": False}


@lowers("QLinearMatMul", weights=(0, 3))
def qlinear_matmul(op: Op) -> Outputs:
    """a, its scale and zero point; b, its scale and zero point; scale and zero point of y."""
    return op.lower_to("quantized_linear", _product(op.x().shape, op.x(3).shape))


@lowers("MatMulInteger", weights=(0, 1))
def matmul_integer(op: Op) -> Outputs:
    """a, b, their zero points?. Returns 32-bit accumulators."""
    return op.lower_to("quantized_linear", _product(op.x().shape, op.x(1).shape))


@shapes("QLinearAdd", "QLinearMul")
def binary_type(op: Op) -> list[TensorType | None]:
    """a, its scale and zero point; b, its scale and zero point. y: broadcast."""
    a, b = op.x().shape, op.x(3).shape
    size = max(len(a), len(b))
    pairs = zip((1,) * (size - len(a)) + a, (1,) * (size - len(b)) + b, strict=True)
    return [op.x()._replace(shape=tuple(n if m == 1 else m for m, n in pairs))]


@lowers("QLinearAdd", "QLinearMul", domain=MICROSOFT, weights=(0, 3))
def binary(op: Op) -> Outputs:
    """Dequantize both, compute, quantize the result."""
    return op.lower_to("quantize", {"fn": "binary"})


@shapes("MatMulNBits")
def matmul_n_bits_type(op: Op) -> list[TensorType | None] | None:
    """x: *,K; y: *,N."""
    if not op.get("N") or op.x().shape[-1:] != (op.get("K"),):
        return None
    return [op.x()._replace(shape=(*op.x().shape[:-1], op.get("N")))]


@lowers("MatMulNBits", domain=MICROSOFT, weights=(1, 2, 3, 5))
def matmul_n_bits(op: Op) -> Outputs:
    """A product with packed low-bit weights, each of which takes one multiplication to dequantize: N·K in all."""
    x, n, k = op.x(), op.get("N"), op.get("K")
    if op.get("bits", 4) < 8:
        op.notes.append("MatMulNBits: parameters are counted in packed bytes, each of which holds more than one weight")
    stored = [i for i in op.present() if i not in {0, 5}]
    weight = op.step("quantize", {"fn": "dequantize"}, stored, x._replace(shape=(n, k)))
    bias = op.present(5)
    return op.lower_to("linear", {"bias": bool(bias)}, [0, weight, *bias])


# ---- 8-bit ops of ONNX Runtime: inputs are dequantized, outputs requantized


@shapes("QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax")
def unary_type(op: Op) -> list[TensorType | None]:
    """y: the type of x."""
    return [op.x()]


def _dequantize(op: Op, at: int = 0) -> Ref:
    """Append the dequantization of input `at` to float32."""
    return op.step("quantize", {"fn": "dequantize"}, [at], op.x(at)._replace(dtype="float32"))


def _requantize(op: Op, source: Ref) -> Outputs:
    """Append the quantization of the result to the op's output type."""
    return [op.step("quantize", {"fn": "rescale"}, [source], op.y())]


@lowers("QLinearSigmoid", "QLinearLeakyRelu", domain=MICROSOFT)
def unary(op: Op) -> Outputs:
    """x, its scale and zero point; scale and zero point of y."""
    return _requantize(op, op.pointwise("sigmoid" if op.type == "QLinearSigmoid" else "leaky_relu", [_dequantize(op)]))


@lowers("QLinearSoftmax", domain=MICROSOFT)
def quantized_softmax(op: Op) -> Outputs | None:
    """x, its scale and zero point; scale and zero point of y. Along one axis."""
    x, axis = op.x(), op.get("axis", -1) % max(len(op.x().shape), 1)
    if op.get("opset", 13) < 13 and axis != len(x.shape) - 1:
        return None
    attrs: Attrs = {"fn": "softmax", "axis": axis}
    return _requantize(op, op.step("softmax", attrs, [_dequantize(op)], x._replace(dtype="float32")))


@shapes("QLinearGlobalAveragePool")
def pooled_type(op: Op) -> list[TensorType | None]:
    """y: one position per channel."""
    x = op.x().shape
    space = range(1, len(x) - 1) if op.get("channels_last") else range(2, len(x))
    return [op.x()._replace(shape=tuple(1 if i in space else n for i, n in enumerate(x)))]


@lowers("QLinearGlobalAveragePool", domain=MICROSOFT)
def quantized_pool(op: Op) -> Outputs | None:
    """x, its scale and zero point; scale and zero point of y."""
    x, y = op.x().shape, op.y()._replace(dtype="float32")
    if not 3 <= len(x) <= 5:
        return None
    attrs: Attrs = {"fn": "avg", "axes": len(x) - 2}
    if not op.get("channels_last"):
        return _requantize(op, op.step("adaptive_pool", attrs, [_dequantize(op)], y))
    permuted = op.permuted(_dequantize(op), _channels_order(len(x), first=True), copy=False)
    result = op.step("adaptive_pool", attrs, [permuted], y._replace(shape=_channels_first(y.shape)))
    return _requantize(op, op.permuted(result, _channels_order(len(x), first=False), copy=False))


@shapes("QLinearConcat")
def concat_type(op: Op) -> list[TensorType | None]:
    """Scale and zero point of y; then each tensor, followed by its scale and zero point."""
    axis, first = op.get("axis"), op.x(2)
    size = sum(op.x(i).shape[axis] for i in range(2, len(op.inputs), 3))
    axis %= len(first.shape)
    return [first._replace(shape=(*first.shape[:axis], size, *first.shape[axis + 1 :]))]


@lowers("QLinearConcat", domain=MICROSOFT)
def quantized_concat(op: Op) -> Outputs:
    """All tensors are rescaled to one scale."""
    return op.lower_to("quantize", {"fn": "rescale"}, list(range(2, len(op.inputs), 3)))


@shapes("QGemm")
def qgemm_type(op: Op) -> list[TensorType | None] | None:
    """a, its scale and zero point; b, its own; c?; scale and zero point of y?, without which y is float32."""
    a, b = op.x().shape, op.x(3).shape
    shape = (a[1] if op.get("transA") else a[0], b[0] if op.get("transB") else b[1])
    return [TensorType(shape, op.x(8).dtype if op.has(8) else "float32")]


@lowers("QGemm", domain=MICROSOFT, weights=(3, 6))
def qgemm(op: Op) -> Outputs:
    """The factor α is folded into the scale, so it costs nothing."""
    a, y = op.x().shape, op.y().shape
    return op.lower_to("quantized_linear", {"rows": y[0], "in": a[0 if op.get("transA") else 1], "out": y[1],
                                        "dynamic": False})  # fmt: skip


@shapes("MatMulIntegerToFloat", "DynamicQuantizeMatMul")
def to_float_type(op: Op) -> list[TensorType | None] | None:
    """a, b, …: the shape of MatMul's output, in float32."""
    a, b = op.x().shape, op.x(1).shape
    if min(len(a), len(b)) < 2 or a[-1] != b[-2] or len(b) > 2:
        return None
    return [TensorType((*a[:-1], b[-1]), "float32")]


@lowers("MatMulIntegerToFloat", "DynamicQuantizeMatMul", domain=MICROSOFT, weights=(1,))
def to_float(op: Op) -> Outputs:
    """Scale the result to floats; DynamicQuantizeMatMul also finds the range of a and quantizes it."""
    return op.lower_to(
        "quantized_linear", {**_product(op.x().shape, op.x(1).shape), "dynamic": op.type.startswith("Dyn")}
    )
