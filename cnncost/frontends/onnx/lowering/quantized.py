"""8-bit ops: integer multiply-accumulates are MACs and no FLOPs. Float ops between Q and DQ are as written."""

from __future__ import annotations

from math import prod

from cnncost.frontends.onnx.lowering.products import product
from cnncost.frontends.onnx.lowering.registry import MICROSOFT, Attrs, Made, Op, lowers, shapes
from cnncost.graph import Shape
from cnncost.tensor_types import TensorType


@shapes("QuantizeLinear")
def quantized_type(op: Op) -> list[TensorType | None]:
    """As x, of the zero point's dtype."""
    return [op.x()._replace(dtype=op.x(2).dtype if op.has(2) else "uint8")]


@shapes("DequantizeLinear")
def dequantized_type(op: Op) -> list[TensorType | None]:
    """As x, of the scale's dtype."""
    return [op.x()._replace(dtype=op.x(1).dtype)]


@lowers("QuantizeLinear")
@lowers("QuantizeLinear", domain=MICROSOFT)
def quantize(op: Op) -> Made:
    """x, scale, zero point?."""
    return op.done("quantize", {"fn": "quantize"})


@lowers("DequantizeLinear", weights=(0,))
@lowers("DequantizeLinear", domain=MICROSOFT, weights=(0,))
def dequantize(op: Op) -> Made:
    """x, scale, zero point?: of weights, too."""
    return op.done("quantize", {"fn": "dequantize"})


def deferred(op: Op) -> bool:
    """Whether a product may read the integers themselves: of 8 bits, without scales of their own for blocks."""
    return op.type == "DequantizeLinear" and op.x().dtype in {"int8", "uint8"} and not op.get("block_size")


@lowers("DynamicQuantizeLinear")
def dynamic(op: Op) -> Made:
    """y, scale, zero point."""
    return op.done("quantize", {"fn": "dynamic"})


def _conv(x: Shape, w: Shape, y: Shape) -> Attrs | None:
    if not 3 <= len(w) <= 5 or len(x) != len(w):
        return None
    return {"kernel": prod(w[2:]), "per_group": w[1], "out": w[0], "batch": x[0], "positions": prod(y[2:]),
            "dynamic": False}  # fmt: skip


@lowers("QLinearConv", weights=(3, 8))
def qlinear_conv(op: Op) -> Made | None:
    """x, its scale and zero point; w, …; those of y; bias?."""
    attrs = _conv(op.x().shape, op.x(3).shape, op.y().shape)
    return None if attrs is None else op.done("quantized_conv", attrs)


@lowers("ConvInteger", weights=(1,))
def conv_integer(op: Op) -> Made | None:
    """x, w, their zero points?: accumulators of 32 bits come out, nothing is rescaled."""
    attrs = _conv(op.x().shape, op.x(1).shape, op.y().shape)
    return None if attrs is None else op.done("quantized_conv", attrs)


def _product(left: Shape, right: Shape) -> Attrs:
    sizes = product(left, right)
    rows = int(sizes["batch"]) * int(sizes["m"])  # type: ignore[arg-type]  # they are ints
    return {"rows": rows, "in": sizes["k"], "out": sizes["n"], "dynamic": False}


@lowers("QLinearMatMul", weights=(0, 3))
def qlinear_matmul(op: Op) -> Made:
    """a, its scale and zero point; b, …; those of y."""
    return op.done("quantized_linear", _product(op.x().shape, op.x(3).shape))


@lowers("MatMulInteger", weights=(0, 1))
def matmul_integer(op: Op) -> Made:
    """a, b, their zero points?: accumulators of 32 bits come out."""
    return op.done("quantized_linear", _product(op.x().shape, op.x(1).shape))


@shapes("QLinearAdd", "QLinearMul")
def binary_type(op: Op) -> list[TensorType | None]:
    """Broadcast; a, its scale and zero point; b, …."""
    a, b = op.x().shape, op.x(3).shape
    size = max(len(a), len(b))
    pairs = zip((1,) * (size - len(a)) + a, (1,) * (size - len(b)) + b, strict=True)
    return [op.x()._replace(shape=tuple(n if m == 1 else m for m, n in pairs))]


@lowers("QLinearAdd", "QLinearMul", domain=MICROSOFT, weights=(0, 3))
def binary(op: Op) -> Made:
    """Both dequantized, the operation, and requantized."""
    return op.done("quantize", {"fn": "binary"})


@shapes("MatMulNBits")
def matmul_n_bits_type(op: Op) -> list[TensorType | None] | None:
    """x: *,K; y: *,N."""
    if not op.get("N") or op.x().shape[-1:] != (op.get("K"),):
        return None
    return [op.x()._replace(shape=(*op.x().shape[:-1], op.get("N")))]


@lowers("MatMulNBits", domain=MICROSOFT, weights=(1, 2, 3, 5))
def matmul_n_bits(op: Op) -> Made:
    """A product with weights that are dequantized on the way: one multiplication for each of their N·K elements."""
    x, n, k = op.x(), op.get("N"), op.get("K")
    if op.get("bits", 4) < 8:
        op.notes.append("MatMulNBits: parameters are the bytes that its weights are packed in, not the weights")
    stored = [i for i in op.present() if i not in {0, 5}]
    weight = op.step("quantize", {"fn": "dequantize"}, stored, x._replace(shape=(n, k)))
    bias = op.present(5)
    return op.done("linear", {"bias": bool(bias)}, [0, weight, *bias])
