"""Backward ops: derivatives for which torch has an op. Other derivatives consist of forward ops."""

from __future__ import annotations

from math import prod

import torch

from cnncost.frontends.torch.lowering.products import attention, conv_geometry
from cnncost.frontends.torch.lowering.registry import Attrs, Lowered, OpCall, lower_layout, lowers
from cnncost.frontends.torch.lowering.windows import (
    ADAPTIVE_POOLS,
    FRACTIONAL_POOLS,
    MODES,
    POOLS,
    TAPS,
    UPSAMPLE,
    pool,
)


@lowers("convolution_backward", "convolution_backward_overrideable")
def conv_backward(call: OpCall) -> Lowered:
    """grad_output, input, weight; `output_mask`: which of the three gradients are computed."""
    attrs = conv_geometry(call, None)
    of_input, of_weight, of_bias = call["output_mask"]
    grad, channels_last = call["grad_output"], attrs.get("layout") == "channels_last"
    memory_format = {4: torch.channels_last, 5: torch.channels_last_3d}.get(grad.dim()) if channels_last else None
    if not grad.is_contiguous(memory_format=memory_format or torch.contiguous_format):
        attrs["copied"] = True  # the kernel needs the gradient in the operands' memory format
    return "conv_backward", {**attrs, "bias": bool(of_bias), "of_input": bool(of_input), "of_weight": bool(of_weight)}


@lowers(
    "_scaled_dot_product_flash_attention_backward", "_scaled_dot_product_efficient_attention_backward",
    "_scaled_dot_product_cudnn_attention_backward", "_scaled_dot_product_flash_attention_for_cpu_backward",
    "_scaled_dot_product_fused_attention_overrideable_backward",
)  # fmt: skip
def attention_backward(call: OpCall) -> Lowered:
    """grad_out, query, key, value, out and tensors saved by forward."""
    attrs = dict(attention(call)[1])
    attrs["value_batch"] = prod(call.first("grad_out", "grad_out_").shape[:-2])
    return "attention_backward", attrs


def _norm(fn: str, call: OpCall, statistics: bool) -> Lowered:
    """`output_mask`: whether the gradients of the input, the weight and, if there is one, the bias are computed."""
    masks = [bool(mask) for mask in call["output_mask"]]
    of_bias = masks[2] if len(masks) > 2 else False
    attrs: Attrs = {
        "fn": fn, "affine": call["weight"] is not None, "statistics": statistics,
        "of_input": masks[0], "of_weight": masks[1], "of_bias": of_bias,
    }  # fmt: skip
    return "norm_backward", attrs


@lowers("native_batch_norm_backward", "cudnn_batch_norm_backward", "batch_norm_backward")
def batch_norm_backward(call: OpCall) -> Lowered:
    """grad_out, input; batch statistics in train mode."""
    if "output_mask" not in call.arguments:  # cuDNN's op always returns all three gradients
        call.arguments["output_mask"] = [True, True, True]
    return _norm("batch", call, bool(call.get("train", call.get("update", True))))


_NORMS = {
    "native_layer_norm_backward": "group", "native_group_norm_backward": "group", "_fused_rms_norm_backward": "rms",
}  # fmt: skip


@lowers(*_NORMS)
def group_norm_backward(call: OpCall) -> Lowered:
    """grad_out, input, and statistics saved by forward."""
    return _norm(_NORMS[call.name], call, statistics=True)


_POOLS = {
    f"{name}_backward": POOLS[name]
    for name in ("max_pool2d_with_indices", "max_pool3d_with_indices", "avg_pool2d", "avg_pool3d")
}


@lowers(*_POOLS)
def pool_backward(call: OpCall) -> Lowered:
    """grad_output, with forward's geometry."""
    return "pool_backward", pool(call, *_POOLS[call.name])


_ADAPTIVE_POOLS = {
    f"{name}_backward": ADAPTIVE_POOLS[name]
    for name in ("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_max_pool2d", "adaptive_max_pool3d")
} | {f"{name}_backward": fact for name, fact in FRACTIONAL_POOLS.items()}


@lowers(*_ADAPTIVE_POOLS)
def adaptive_pool_backward(call: OpCall) -> Lowered:
    """grad_output, input. Fractional pools have other windows, but gradients are counted the same: one per maximum."""
    fn, axes = _ADAPTIVE_POOLS[call.name]
    return "adaptive_pool_backward", {"fn": fn, "axes": axes}


_UPSAMPLE = {f"{name}_backward": fact for name, fact in UPSAMPLE.items()}


@lowers(*_UPSAMPLE)
def resize_backward(call: OpCall) -> Lowered:
    """Each output's gradient is distributed to the inputs it was interpolated from."""
    mode, axes, antialias = _UPSAMPLE[call.name]
    taps = MODES[mode]
    if antialias:  # downscaling widens the filter by the scale factor
        sizes = zip(call.outputs[0].shape[-axes:], call.inputs[0].shape[-axes:], strict=True)
        taps *= max(1, *(-(-x // y) for x, y in sizes))
    return "resize_backward", {"taps": taps, "axes": axes}


@lowers("grid_sampler_2d_backward", "grid_sampler_3d_backward")
def sample_backward(call: OpCall) -> Lowered:
    """grad_output, x: N,C,*; grid: N,*,d."""
    grid = call["grid"].shape
    taps = TAPS[call.get("interpolation_mode", 0)]
    of_input, of_grid = call["output_mask"]
    attrs: Attrs = {"taps": taps, "axes": grid[-1], "locations": prod(grid[:-1])}
    return "sample_backward", {**attrs, "of_input": bool(of_input), "of_grid": bool(of_grid)}


_SOFTMAX = {"_softmax_backward_data": "softmax", "_log_softmax_backward_data": "log_softmax"}


@lowers(*_SOFTMAX)
def softmax_backward(call: OpCall) -> Lowered:
    """grad_output and the output, along `dim`."""
    return "softmax_backward", {"fn": _SOFTMAX[call.name]}


_ELEMENTWISE = """
threshold hardtanh leaky_relu sigmoid tanh gelu silu hardswish hardsigmoid elu softplus log_sigmoid mish softshrink
hardshrink _prelu_kernel glu logit rrelu_with_noise mse_loss smooth_l1_loss huber_loss binary_cross_entropy
soft_margin_loss multi_margin_loss
""".split()


@lowers(*(f"{name}_backward" for name in _ELEMENTWISE))
def elementwise(call: OpCall) -> Lowered:
    """The gradient times the function's derivative."""
    return "pointwise", {"fn": call.name.strip("_")}


@lowers("native_dropout_backward")
def dropout_backward(call: OpCall) -> Lowered:  # noqa: ARG001  # arguments don't change its cost
    """Counted as dropout."""
    return "dropout", {"training": True}


@lowers("nll_loss_backward", "nll_loss2d_backward")
def nll_loss_backward(call: OpCall) -> Lowered:
    """target. One element is written per target."""
    return "scatter", {"accumulate": False, "elements": call["target"].numel()}


@lowers(
    "embedding_dense_backward", "reflection_pad1d_backward", "reflection_pad2d_backward", "reflection_pad3d_backward",
    "replication_pad1d_backward", "replication_pad2d_backward", "replication_pad3d_backward", "unfold_backward",
)  # fmt: skip
def accumulate(call: OpCall) -> Lowered:
    """The gradient's elements are accumulated at their source positions."""
    return "scatter", {"accumulate": True, "elements": call.inputs[0].numel}


@lowers("slice_backward", "select_backward", "diagonal_backward")
def put_back(call: OpCall) -> Lowered:
    """The gradient copied into zeros."""
    return lower_layout(call, copy=True)


@lowers("_weight_norm_interface_backward", "_weight_norm_differentiable_backward")
def weight_norm_backward(call: OpCall) -> Lowered:  # noqa: ARG001  # costs follow from the inputs' types
    """grad_w, v, g and the norms."""
    return "weight_norm_backward", {}


@lowers("_cdist_backward", "_pdist_backward")
def distance_backward(call: OpCall) -> Lowered:
    """The gradient of each pair's distance."""
    return "distance_backward", {"pairs": call.inputs[0].numel, "width": call.inputs[1].shape[-1]}


@lowers("_embedding_bag_backward", "_embedding_bag_dense_backward")
def bag_backward(call: OpCall) -> Lowered:
    """grad: B,D; indices: I. A bag's gradient is added to the gradient of each of its rows."""
    elements = call["indices"].numel() * call["grad"].shape[-1]
    return "scatter", {"accumulate": True, "elements": elements}


@lowers("_embedding_bag_per_sample_weights_backward")
def bag_weights_backward(call: OpCall) -> Lowered:
    """grad: B,D; indices: I. A dot product of each looked-up row with its bag's gradient."""
    return "bag_weights_backward", {"indices": call["indices"].numel(), "width": call["grad"].shape[-1]}


@lowers("_segment_reduce_backward")
def segment_reduce_backward(call: OpCall) -> Lowered:
    """grad, output: one element per reduced segment; data: the elements before the reduction."""
    return "segment_reduce_backward", {"fn": call["reduce"]}


@lowers("masked_scatter_backward")
def gathered_gradient(call: OpCall) -> Lowered:  # noqa: ARG001  # costs follow from the inputs' types
    """The gradient's elements gathered where the mask is set."""
    return "gather", {"fn": "other"}
