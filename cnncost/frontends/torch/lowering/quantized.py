"""Quantized layers: products of 8-bit integers, and the conversions around them."""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from cnncost.frontends.torch.lowering.registry import Lowered, OpCall, lower_layout, lowers


def _unpacked(call: OpCall) -> tuple[torch.Size, int]:
    """Return the shape of the weight, and the bytes of weight and bias, which are packed into an object."""
    packed: Any = next(v for v in call.arguments.values() if hasattr(v, "unpack"))
    tensors = [t for t in packed.unpack() if isinstance(t, torch.Tensor)]
    return tensors[0].shape, sum(t.numel() * t.element_size() for t in tensors)


_LINEAR = {
    **{f"quantized::linear{suffix}": False for suffix in ("", "_relu", "_leaky_relu", "_tanh")},
    **{f"quantized::linear{suffix}": True for suffix in ("_dynamic", "_relu_dynamic")},
}
"""By op: whether its input is quantized as it runs."""


@lowers(*_LINEAR)
def linear(call: OpCall) -> Lowered:
    """x: *,I; the weight O,I is packed. A dynamic layer quantizes its input, and returns floats."""
    (out_features, in_features), packed = _unpacked(call)
    return "quantized_linear", {"rows": prod(call.inputs[0].shape[:-1]), "in": in_features, "out": out_features,
                                "dynamic": _LINEAR[call.name], "packed": packed}  # fmt: skip


_CONV = {
    f"quantized::conv{axes}d{suffix}": dynamic
    for axes in (1, 2, 3)
    for suffix, dynamic in (("", False), ("_relu", False), ("_add", False), ("_add_relu", False), ("_dynamic", True))
}
"""The same of convolutions."""


@lowers(*_CONV)
def conv(call: OpCall) -> Lowered:
    """x: N,C,*X; the weight K,C/g,*R is packed."""
    (weight, packed), y = _unpacked(call), call.outputs[0].shape
    return "quantized_conv", {"kernel": prod(weight[2:]), "per_group": weight[1], "out": weight[0], "batch": y[0],
                              "positions": prod(y[2:]), "dynamic": _CONV[call.name], "packed": packed}  # fmt: skip


_QUANTIZE = {
    "quantize_per_tensor": "quantize", "quantize_per_channel": "quantize", "quantize_per_tensor_dynamic": "dynamic",
}  # fmt: skip


@lowers(*_QUANTIZE)
def quantize(call: OpCall) -> Lowered:
    """Floats to integers and a scale."""
    return "quantize", {"fn": _QUANTIZE[call.name]}


@lowers("dequantize")
def dequantize(call: OpCall) -> Lowered:  # noqa: ARG001  # the attributes are the same for every call
    """Integers and a scale to floats."""
    return "quantize", {"fn": "dequantize"}


@lowers(
    "fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine", "_fused_moving_avg_obs_fq_helper",
    "fake_quantize_per_tensor_affine_cachemask", "fake_quantize_per_channel_affine_cachemask",
    "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams", "fused_moving_avg_obs_fake_quant",
    "_fake_quantize_learnable_per_tensor_affine", "_fake_quantize_learnable_per_channel_affine",
)  # fmt: skip
def fake_quantize(call: OpCall) -> Lowered:  # noqa: ARG001  # as for `dequantize`
    """Floats rounded as by quantization, in training."""
    return "quantize", {"fn": "fake"}


_BINARY = {
    **{f"quantized::{name}": "binary" for name in ("add", "mul", "add_scalar", "mul_scalar")},
    **{f"quantized::{name}_relu": "binary_relu" for name in ("add", "mul", "add_scalar", "mul_scalar")},
}


@lowers(*_BINARY)
def binary(call: OpCall) -> Lowered:
    """Two quantized tensors, or one and a scalar."""
    return "quantize", {"fn": _BINARY[call.name]}


@lowers("quantized::cat", "quantized::dropout")
def rescale(call: OpCall) -> Lowered:  # noqa: ARG001  # as for `dequantize`
    """Tensors requantized to the scale of the result."""
    return "quantize", {"fn": "rescale"}


@lowers(
    "quantized::max_pool2d",
    "q_scale",
    "q_zero_point",
    "q_per_channel_scales",
    "int_repr",
    "_make_per_tensor_quantized_tensor",
)
def copied(call: OpCall) -> Lowered:
    """Integers compared, copied or returned: no floating-point operations."""
    return lower_layout(call, copy=True)
