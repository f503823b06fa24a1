"""Ops on 8-bit integers: their multiply-accumulates count as MACs but not as FLOPs.

Floating-point ops between QuantizeLinear and DequantizeLinear count as they are written.
"""

from __future__ import annotations

from math import prod

from cnncost.frontends.onnx.lowering.products import before, product, spread
from cnncost.frontends.onnx.lowering.registry import MICROSOFT, Attrs, Made, Op, Ref, lowers, shapes
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
def quantize(op: Op) -> Made:
    """x, scale, zero point?."""
    return op.done("quantize", {"fn": "quantize"})


@lowers("DequantizeLinear", weights=(0,))
@lowers("DequantizeLinear", domain=MICROSOFT, weights=(0,))
def dequantize(op: Op) -> Made:
    """x, scale, zero point?; x may be a weight."""
    return op.done("quantize", {"fn": "dequantize"})


def deferred(op: Op) -> bool:
    """Return True if a product may read the integers directly: 8 bits, and no scale per block."""
    return op.type == "DequantizeLinear" and op.x().dtype in {"int8", "uint8"} and not op.get("block_size")


@lowers("DynamicQuantizeLinear")
def dynamic(op: Op) -> Made:
    """Outputs: y, its scale, its zero point."""
    return op.done("quantize", {"fn": "dynamic"})


def _conv(x: Shape, w: Shape, y: Shape) -> Attrs | None:
    if not 3 <= len(w) <= 5 or len(x) != len(w):
        return None
    return {"kernel": prod(w[2:]), "per_group": w[1], "out": w[0], "batch": x[0], "positions": prod(y[2:]),
            "dynamic": False}  # fmt: skip


@lowers("QLinearConv", weights=(3, 8))
def qlinear_conv(op: Op) -> Made | None:
    """x, its scale and zero point; w, its scale and zero point; scale and zero point of y; bias?."""
    attrs = _conv(op.x().shape, op.x(3).shape, op.y().shape)
    return None if attrs is None else op.done("quantized_conv", attrs)


# ---- channels last, as ONNX Runtime writes quantized networks for CPUs


def _first(x: Shape) -> Shape:
    """Move channels first: N,*,C to N,C,*."""
    return (x[0], x[-1], *x[1:-1])


def _last(x: Shape) -> Shape:
    """Move channels last: N,C,* to N,*,C."""
    return (x[0], *x[2:], x[1])


def _order(rank: int, first: bool) -> Shape:
    """Return the permutation that moves channels to the front or to the end."""
    return (0, rank - 1, *range(1, rank - 1)) if first else (0, *range(2, rank), 1)


def windowed(op: Op, x: Shape, kernel: Shape) -> Shape | None:
    """Return the spatial sizes after a window slides over `x`, the spatial sizes before; None if no window fits."""
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
        if ceil and (count - 1) * s >= x[i] + pads[i]:  # a window that begins behind the image
            count -= 1
        found.append(count)
    return tuple(found)


@shapes("QLinearConv")
def last_conv_type(op: Op) -> list[TensorType | None] | None:
    """x: N,*,C with `channels_last`, else N,C,*; w: K,C/g,*. y: the layout of x, the dtype of y's zero point."""
    x, w = op.x().shape, op.x(3).shape
    if len(x) != len(w) or len(w) < 3:
        return None
    inner = _first(x) if op.get("channels_last") else x
    space = windowed(op, inner[2:], w[2:])
    if space is None or inner[1] != w[1] * op.get("group", 1):
        return None
    y = (x[0], w[0], *space)
    return [TensorType(_last(y) if op.get("channels_last") else y, op.x(7).dtype)]


@lowers("QLinearConv", domain=MICROSOFT, weights=(3, 8))
def last_conv(op: Op) -> Made | None:
    """As QLinearConv; channels may be last."""
    if not op.get("channels_last"):
        return qlinear_conv(op)
    x, w, y = op.x(), op.x(3).shape, op.y()
    attrs = _conv(_first(x.shape), w, _first(y.shape))
    if attrs is None:
        return None
    turned = op.permuted(0, _order(len(w), first=True), copy=False)
    made = op.step("quantized_conv", attrs, [turned, *op.present()[1:]], y._replace(shape=_first(y.shape)))
    return [op.permuted(made, _order(len(w), first=False), copy=False)]


@shapes("NhwcMaxPool")
def last_pool_type(op: Op) -> list[TensorType | None] | None:
    """x: N,*,C."""
    x = op.x().shape
    space = windowed(op, x[1:-1], tuple(op.get("kernel_shape") or ())) if len(x) > 2 else None
    return None if space is None else [op.x()._replace(shape=(x[0], *space, x[-1]))]


@lowers("NhwcMaxPool", domain=MICROSOFT)
def last_pool(op: Op) -> Made | None:
    """x: N,*,C, in 8-bit integers: only comparisons."""
    x, y, kernel = op.x().shape, op.y(), tuple(op.get("kernel_shape"))
    if not 1 <= len(kernel) <= 3 or len(x) != len(kernel) + 2:
        return None
    stride, dilation = spread(op, "strides", len(kernel)), spread(op, "dilations", len(kernel))
    attrs: Attrs = {
        "fn": "max", "kernel": kernel, "stride": stride, "dilation": dilation, "ceil": bool(op.get("ceil_mode", 0)),
        "padding": before(op, x[1:-1], y.shape[1:-1], kernel, stride, dilation),
    }  # fmt: skip
    turned = op.permuted(0, _order(len(x), first=True), copy=False)
    made = op.step("pool", attrs, [turned], y._replace(shape=_first(y.shape)))
    return [op.permuted(made, _order(len(x), first=False), copy=False)]


@lowers("ConvInteger", weights=(1,))
def conv_integer(op: Op) -> Made | None:
    """x, w, their zero points?. Returns 32-bit accumulators; nothing is rescaled."""
    attrs = _conv(op.x().shape, op.x(1).shape, op.y().shape)
    return None if attrs is None else op.done("quantized_conv", attrs)


def _product(left: Shape, right: Shape) -> Attrs:
    sizes = product(left, right)
    rows = int(sizes["batch"]) * int(sizes["m"])  # type: ignore[arg-type]  # they are ints
    return {"rows": rows, "in": sizes["k"], "out": sizes["n"], "dynamic": False}


@lowers("QLinearMatMul", weights=(0, 3))
def qlinear_matmul(op: Op) -> Made:
    """a, its scale and zero point; b, its scale and zero point; scale and zero point of y."""
    return op.done("quantized_linear", _product(op.x().shape, op.x(3).shape))


@lowers("MatMulInteger", weights=(0, 1))
def matmul_integer(op: Op) -> Made:
    """a, b, their zero points?. Returns 32-bit accumulators."""
    return op.done("quantized_linear", _product(op.x().shape, op.x(1).shape))


@shapes("QLinearAdd", "QLinearMul")
def binary_type(op: Op) -> list[TensorType | None]:
    """a, its scale and zero point; b, its scale and zero point. y: broadcast."""
    a, b = op.x().shape, op.x(3).shape
    size = max(len(a), len(b))
    pairs = zip((1,) * (size - len(a)) + a, (1,) * (size - len(b)) + b, strict=True)
    return [op.x()._replace(shape=tuple(n if m == 1 else m for m, n in pairs))]


@lowers("QLinearAdd", "QLinearMul", domain=MICROSOFT, weights=(0, 3))
def binary(op: Op) -> Made:
    """Dequantize both, compute, quantize the result."""
    return op.done("quantize", {"fn": "binary"})


@shapes("MatMulNBits")
def matmul_n_bits_type(op: Op) -> list[TensorType | None] | None:
    """x: *,K; y: *,N."""
    if not op.get("N") or op.x().shape[-1:] != (op.get("K"),):
        return None
    return [op.x()._replace(shape=(*op.x().shape[:-1], op.get("N")))]


@lowers("MatMulNBits", domain=MICROSOFT, weights=(1, 2, 3, 5))
def matmul_n_bits(op: Op) -> Made:
    """A product with weights of few bits, each dequantized by one multiplication: N·K in all."""
    x, n, k = op.x(), op.get("N"), op.get("K")
    if op.get("bits", 4) < 8:
        op.notes.append("MatMulNBits: parameters are the bytes that its weights are packed in, not the weights")
    stored = [i for i in op.present() if i not in {0, 5}]
    weight = op.step("quantize", {"fn": "dequantize"}, stored, x._replace(shape=(n, k)))
    bias = op.present(5)
    return op.done("linear", {"bias": bool(bias)}, [0, weight, *bias])


# ---- 8-bit ops of ONNX Runtime: inputs are dequantized, outputs requantized


@shapes("QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax")
def unary_type(op: Op) -> list[TensorType | None]:
    """y: the type of x."""
    return [op.x()]


def _floats(op: Op, at: int = 0) -> Ref:
    return op.step("quantize", {"fn": "dequantize"}, [at], op.x(at)._replace(dtype="float32"))


def _requantized(op: Op, source: Ref) -> Made:
    return [op.step("quantize", {"fn": "rescale"}, [source], op.y())]


@lowers("QLinearSigmoid", "QLinearLeakyRelu", domain=MICROSOFT)
def unary(op: Op) -> Made:
    """x, its scale and zero point; scale and zero point of y."""
    return _requantized(op, op.pointwise("sigmoid" if op.type == "QLinearSigmoid" else "leaky_relu", [_floats(op)]))


@lowers("QLinearSoftmax", domain=MICROSOFT)
def quantized_softmax(op: Op) -> Made | None:
    """x, its scale and zero point; scale and zero point of y. Along one axis."""
    x, axis = op.x(), op.get("axis", -1) % max(len(op.x().shape), 1)
    if op.get("opset", 13) < 13 and axis != len(x.shape) - 1:
        return None
    attrs: Attrs = {"fn": "softmax", "axis": axis}
    return _requantized(op, op.step("softmax", attrs, [_floats(op)], x._replace(dtype="float32")))


@shapes("QLinearGlobalAveragePool")
def pooled_type(op: Op) -> list[TensorType | None]:
    """y: one position per channel."""
    x = op.x().shape
    space = range(1, len(x) - 1) if op.get("channels_last") else range(2, len(x))
    return [op.x()._replace(shape=tuple(1 if i in space else n for i, n in enumerate(x)))]


@lowers("QLinearGlobalAveragePool", domain=MICROSOFT)
def quantized_pool(op: Op) -> Made | None:
    """x, its scale and zero point; scale and zero point of y."""
    x, y = op.x().shape, op.y()._replace(dtype="float32")
    if not 3 <= len(x) <= 5:
        return None
    attrs: Attrs = {"fn": "avg", "axes": len(x) - 2}
    if not op.get("channels_last"):
        return _requantized(op, op.step("adaptive_pool", attrs, [_floats(op)], y))
    turned = op.permuted(_floats(op), _order(len(x), first=True), copy=False)
    made = op.step("adaptive_pool", attrs, [turned], y._replace(shape=_first(y.shape)))
    return _requantized(op, op.permuted(made, _order(len(x), first=False), copy=False))


@shapes("QLinearConcat")
def concat_type(op: Op) -> list[TensorType | None]:
    """Scale and zero point of y; then each tensor followed by its own."""
    axis, first = op.get("axis"), op.x(2)
    size = sum(op.x(i).shape[axis] for i in range(2, len(op.inputs), 3))
    axis %= len(first.shape)
    return [first._replace(shape=(*first.shape[:axis], size, *first.shape[axis + 1 :]))]


@lowers("QLinearConcat", domain=MICROSOFT)
def quantized_concat(op: Op) -> Made:
    """All tensors are rescaled to one scale."""
    return op.done("quantize", {"fn": "rescale"}, list(range(2, len(op.inputs), 3)))


@shapes("QGemm")
def qgemm_type(op: Op) -> list[TensorType | None] | None:
    """a, its scale and zero point; b, its own; c?; scale and zero point of y?. Without these y is floating-point."""
    a, b = op.x().shape, op.x(3).shape
    shape = (a[1] if op.get("transA") else a[0], b[0] if op.get("transB") else b[1])
    return [TensorType(shape, op.x(8).dtype if op.has(8) else "float32")]


@lowers("QGemm", domain=MICROSOFT, weights=(3, 6))
def qgemm(op: Op) -> Made:
    """The factor α is part of the scale, so that it costs nothing."""
    a, y = op.x().shape, op.y().shape
    return op.done("quantized_linear", {"rows": y[0], "in": a[0 if op.get("transA") else 1], "out": y[1],
                                        "dynamic": False})  # fmt: skip


@shapes("MatMulIntegerToFloat", "DynamicQuantizeMatMul")
def to_float_type(op: Op) -> list[TensorType | None] | None:
    """a, b, …: the type of MatMul."""
    a, b = op.x().shape, op.x(1).shape
    if min(len(a), len(b)) < 2 or a[-1] != b[-2] or len(b) > 2:
        return None
    return [TensorType((*a[:-1], b[-1]), "float32")]


@lowers("MatMulIntegerToFloat", "DynamicQuantizeMatMul", domain=MICROSOFT, weights=(1,))
def to_float(op: Op) -> Made:
    """Scale the result to floats; the dynamic op also finds the range of a and quantizes it."""
    return op.done("quantized_linear", {**_product(op.x().shape, op.x(1).shape), "dynamic": op.type.startswith("Dyn")})
