"""Convolutions and matrix products with a fused activation, as ONNX Runtime writes them."""

from __future__ import annotations

from cnncost.frontends.onnx.lowering.products import gemm_steps, geometry
from cnncost.frontends.onnx.lowering.registry import MICROSOFT, Op, Outputs, lowers, shapes
from cnncost.graph import Shape
from cnncost.tensor_types import TensorType

ACTIVATIONS = {"Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid", "LeakyRelu": "leaky_relu", "Clip": "clamp",
                "HardSigmoid": "hardsigmoid"}  # fmt: skip


@shapes("FusedConv")
def fused_conv_type(op: Op) -> list[TensorType | None] | None:
    """The type that Conv with explicit padding returns."""
    x, w = op.x().shape, op.x(1).shape
    axes = len(w) - 2
    if op.get("auto_pad", "NOTSET") != "NOTSET" or len(x) != len(w):
        return None
    pads = op.get("pads") or [0] * 2 * axes
    stride, dilation = op.get("strides") or [1] * axes, op.get("dilations") or [1] * axes
    space: Shape = tuple(
        (x[2 + i] + pads[i] + pads[axes + i] - dilation[i] * (w[2 + i] - 1) - 1) // stride[i] + 1 for i in range(axes)
    )
    return [op.x()._replace(shape=(x[0], w[0], *space))]


@lowers("FusedConv", domain=MICROSOFT, weights=(1, 2))
def fused_conv(op: Op) -> Outputs | None:
    """x, w, bias?, addend?; then an activation."""
    attrs, activation = geometry(op, op.x().shape, op.x(1).shape), ACTIVATIONS.get(op.get("activation", ""))
    if attrs is None or activation is None:
        return None
    result = op.step("conv", attrs, op.present(0, 1, 2))
    if op.has(3):
        result = op.pointwise("add", [result, 3])
    return [op.pointwise(activation, [result])]


@shapes("FusedGemm")
def fused_gemm_type(op: Op) -> list[TensorType | None]:
    """The type that Gemm returns."""
    a, b = op.x().shape, op.x(1).shape
    return [op.x()._replace(shape=(a[1] if op.get("transA") else a[0], b[0] if op.get("transB") else b[1]))]


@lowers("FusedGemm", domain=MICROSOFT, weights=(0, 1, 2))
def fused_gemm(op: Op) -> Outputs | None:
    """Gemm, then an activation."""
    activation = ACTIVATIONS.get(op.get("activation", ""))
    return None if activation is None else [op.pointwise(activation, [gemm_steps(op)])]
