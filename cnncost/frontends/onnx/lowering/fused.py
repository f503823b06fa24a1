"""Convolutions and matrix products with a fused activation, as ONNX Runtime writes them."""

from __future__ import annotations

from cnncost.frontends.onnx.lowering.products import gemm_steps, geometry
from cnncost.frontends.onnx.lowering.quantized import window_positions
from cnncost.frontends.onnx.lowering.registry import MICROSOFT, Op, Outputs, lowers, shapes
from cnncost.tensor_types import TensorType

ACTIVATIONS = {"Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid", "LeakyRelu": "leaky_relu", "Clip": "clamp",
                "HardSigmoid": "hardsigmoid"}  # fmt: skip


@shapes("FusedConv")
def fused_conv_type(op: Op) -> list[TensorType | None] | None:
    """The type that Conv returns."""
    x, w = op.x().shape, op.x(1).shape
    if len(x) != len(w) or len(w) < 3:
        return None
    space = window_positions(op, x[2:], w[2:])
    return None if space is None else [op.x()._replace(shape=(x[0], w[0], *space))]


@lowers("FusedConv", domain=MICROSOFT, weights=(1, 2))
def fused_conv(op: Op) -> Outputs | None:
    """x, w, bias?, addend?; then an activation, or none."""
    attrs, name = geometry(op, op.x().shape, op.x(1).shape), op.get("activation", "")
    if attrs is None or (name and name not in ACTIVATIONS):
        return None
    result = op.step("conv", attrs, op.present(0, 1, 2))
    if op.has(3):
        result = op.pointwise("add", [result, 3])
    return [op.pointwise(ACTIVATIONS[name], [result]) if name else result]


@shapes("FusedGemm")
def fused_gemm_type(op: Op) -> list[TensorType | None]:
    """The type that Gemm returns."""
    a, b = op.x().shape, op.x(1).shape
    return [op.x()._replace(shape=(a[1] if op.get("transA") else a[0], b[0] if op.get("transB") else b[1]))]


@lowers("FusedGemm", domain=MICROSOFT, weights=(0, 1, 2))
def fused_gemm(op: Op) -> Outputs | None:
    """Gemm, then an activation, or none."""
    name = op.get("activation", "")
    if name and name not in ACTIVATIONS:
        return None
    result = gemm_steps(op)
    return [op.pointwise(ACTIVATIONS[name], [result]) if name else result]
