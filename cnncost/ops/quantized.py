"""Quantized layers (Jacob et al. 2018): 8-bit multiply-accumulates are MACs but not FLOPs.

The floating-point operations around them are counted. To quantize an element takes a division, a rounding, an addition
and two comparisons; to dequantize it, a multiplication (the zero point is subtracted as an integer).
"""

from __future__ import annotations

from typing import Literal

from cnncost.graph import ITEM_BYTES, OpSpec, TensorType
from cnncost.ops.kinds import kind, one, rest, some
from cnncost.ops.registry import Cost, Term, cost, factors, flops

QUANTIZE = 5
REQUANTIZE = 2
"""FLOPs per accumulated integer: a multiplication by the ratio of the scales, a rounding."""
FLOPS = {
    "quantize": QUANTIZE,
    "dynamic": QUANTIZE + 2,  # and two comparisons to find the range
    "dequantize": 1,
    "fake": QUANTIZE + 2,  # quantize and dequantize, on floats: subtracting the zero point counts, too
    "binary": 3 + REQUANTIZE,  # dequantize both, the operation, and requantize
    "binary_relu": 4 + REQUANTIZE,
    "rescale": REQUANTIZE,
}
"""FLOPs per element, by function."""


def int8_macs(*pairs: str | int) -> Term:
    """Return a term of integer multiply-accumulates."""
    return Term("int8 multiply-accumulate", factors(*pairs), 0, True)


def product_terms(spec: OpSpec, main: Term) -> tuple[Term, ...]:
    """Return a product's terms; `main` has its MACs. For 8-bit integers they have no FLOPs, but each output is scaled.

    The attribute `integer` marks products of 8-bit integers.
    """
    if not spec.get("integer"):
        return (main,)
    return (
        Term("int8 multiply-accumulate", main.factors, 0, True),
        flops("scale", 1, "outputs", spec.outputs[0].numel),
    )


def _conversions(spec: OpSpec) -> tuple[Term, ...]:
    """Terms of the conversions around an integer product: of the input to 8 bits if dynamic, and from 32-bit sums."""
    if spec.outputs[0].dtype == "int32":
        return ()  # the accumulators themselves are the result
    back = flops("scale and bias" if spec["dynamic"] else "requantize", REQUANTIZE, "outputs", spec.outputs[0].numel)
    if not spec["dynamic"]:
        return (back,)
    return (flops("quantize the input", FLOPS["dynamic"], "inputs", spec.inputs[0].numel), back)


def _read(spec: OpSpec) -> int:
    """Return the bytes read: of the inputs, and of a weight and bias that are in an object of the library."""
    packed: int = spec.get("packed", 0)
    return sum(t.nbytes for t in spec.inputs) + packed


@kind(
    "quantized_linear",
    inputs=(one("x", 1, None), rest("weight, bias, scales and zero points")),
    attributes={"rows": int, "in": int, "out": int, "dynamic": bool},
    optional={"packed": int},
)
def quantized_linear(spec: OpSpec) -> Cost:
    """MACs = M·I·O of integers; FLOPs: 2 per output (0 if outputs are int32), and 7 per input if dynamic.

    Attributes: rows M, in I, out O, dynamic; packed: bytes of a weight and bias that are no inputs.
    """
    main = int8_macs("M", spec["rows"], "I", spec["in"], "O", spec["out"])
    return cost(spec, main, *_conversions(spec), read=_read(spec))


@kind(
    "quantized_conv",
    inputs=(one("x", 2, 5), rest("addend")),
    attributes={"kernel": int, "per_group": int, "out": int, "batch": int, "positions": int, "dynamic": bool},
    optional={"packed": int},
)
def quantized_conv(spec: OpSpec) -> Cost:
    """MACs = N·K·P·(C/g)·R of integers; FLOPs: 2 per output (0 if outputs are int32), and 7 per input if dynamic.

    Attributes: batch N, out K, positions P, per_group C/g, kernel R, dynamic; packed as of `quantized_linear`.
    """
    main = int8_macs("N", spec["batch"], "K", spec["out"], "P", spec["positions"], "C/g", spec["per_group"],
                     "R", spec["kernel"])  # fmt: skip
    return cost(spec, main, *_conversions(spec), read=_read(spec))


@kind(
    "quantize",
    inputs=(some("x, scales and ranges"),),
    attributes={"fn": Literal["quantize", "dynamic", "dequantize", "fake", "binary", "binary_relu", "rescale"]},
    reach="elements.quantize",
)
def quantize(spec: OpSpec) -> Cost:
    """FLOPs per element: 5 to quantize, 1 to dequantize, 7 for both (training), 5 for a quantized sum or product.

    Attribute: fn. Further: 7 to quantize with a range found first, 6 for a sum or product with a ReLU, 2 to rescale.
    """
    y = spec.outputs[0] if spec.outputs else spec.inputs[0]
    return cost(spec, flops(str(spec["fn"]), FLOPS[spec["fn"]], "n", y.numel))


def product_dtype(term: Term, spec: OpSpec) -> str:
    """Return the dtype of a product's factors, from its op's first input; without one, from its first output.

    Terms of MACs without FLOPs are products of integers: `int8`, whatever the dtypes of a quantized layer's input and
    output, unless the factors are wider integers.
    """
    first: TensorType | None = next(iter((*spec.inputs, *spec.outputs)), None)
    if first is None:
        return "unknown"
    wide = first.dtype.startswith(("int", "uint")) and ITEM_BYTES[first.dtype] > 1
    return first.dtype if term.flops or wide else "int8"
