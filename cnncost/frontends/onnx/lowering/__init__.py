"""Lowerings from ONNX ops to the Graph's op kinds, by family."""

from cnncost.frontends.onnx.lowering import (
    attention,
    blocked,
    einsum,
    elementwise,
    experts,
    fused,
    moves,
    products,
    quantized,
    recurrent,
    reductions,
    windows,
)
from cnncost.frontends.onnx.lowering.registry import Op, lowering, shaper, weights

__all__ = ["Op", "attention", "blocked", "einsum", "elementwise", "experts", "fused", "lowering", "moves", "products",
           "quantized", "recurrent", "reductions", "shaper", "weights", "windows"]  # fmt: skip
