"""Ops with multiply-accumulates: convolution, matrix products, attention, recurrent layers."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import torch

from cnncost.frontends.torch.lowering.layouts import is_channels_last
from cnncost.frontends.torch.lowering.registry import Attrs, Lowered, OpCall, lowers, spread

_TRANSPOSED: dict[str, bool | None] = {
    **dict.fromkeys((
        "conv1d", "conv2d", "conv3d", "_slow_conv2d_forward", "slow_conv3d_forward", "slow_conv_dilated2d",
        "slow_conv_dilated3d", "_conv_depthwise2d", "conv_depthwise3d", "mkldnn_convolution", "cudnn_convolution",
        "miopen_convolution", "miopen_depthwise_convolution", "_nnpack_spatial_convolution",
    ), False),
    **dict.fromkeys((
        "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "slow_conv_transpose2d", "slow_conv_transpose3d",
        "cudnn_convolution_transpose", "miopen_convolution_transpose",
    ), True),
    **dict.fromkeys(("convolution", "_convolution", "convolution_overrideable"), None),
}  # fmt: skip
"""Convolutions, and whether they are transposed; None if an argument says so."""
_DEPTHWISE = frozenset({"_conv_depthwise2d", "conv_depthwise3d", "miopen_depthwise_convolution"})
"""Convolutions with a group for each channel; some have no argument `groups`."""


@lowers(*_TRANSPOSED)
def conv(call: OpCall) -> Lowered | None:
    """x, weight, bias?, and the geometry, whose names differ between ops.

    None if the output has another size than a convolution with this geometry: the table is wrong about the name.
    """
    attrs = conv_geometry(call, _TRANSPOSED[call.name])
    return ("conv", attrs) if _has_output_of(attrs, call) else None


def conv_geometry(call: OpCall, transposed: bool | None) -> Attrs:
    """Return the attributes of a convolution or its derivative. `transposed`: None if an argument says so."""
    weight = call["weight"].shape
    axes = len(weight) - 2
    attrs: Attrs = {
        "kernel": tuple(weight[2:]),
        "stride": spread(call.get("stride", 1), axes),
        "padding": spread(call.get("padding", 0), axes),
        "dilation": spread(call.get("dilation", 1), axes),
        "groups": call.get("groups", call.first("input", "self").shape[1] if call.name in _DEPTHWISE else 1),
        "transposed": bool(call["transposed"] if transposed is None else transposed),
        "output_padding": spread(call.get("output_padding", 0), axes),
        "bias": call.get("bias") is not None,
    }
    if (layout := _layout(call.get("input", call.get("self")), call["weight"])) is not None:
        attrs["layout"] = layout
    return attrs


def _has_output_of(attrs: Mapping[str, Any], call: OpCall) -> bool:
    """True if the output has as many positions along each axis as the geometry gives.

    The kind's declaration can't check that: its padding is the one before, and a file's may be another one after.
    """
    axes, padding = len(attrs["kernel"]), attrs["padding"]
    x, y = call.first("input", "self").shape[-axes:], call.outputs[0].shape[-axes:]
    if padding == "same":
        return tuple(x) == y
    settings = [attrs[name] for name in ("kernel", "stride", "dilation", "output_padding")]
    for n, out, k, stride, dilation, extra, pad in zip(
        x, y, *settings, (0,) * axes if padding == "valid" else padding, strict=True
    ):
        border = 2 * pad - dilation * (k - 1) - 1
        if out != ((n - 1) * stride + extra - border if attrs["transposed"] else (n + border) // stride + 1):
            return False
    return True


def _layout(x: Any, weight: Any) -> str | None:
    """Return `channels_last` if x or the weight is, `strided` for an x that the kernel copies; None if contiguous."""
    if not isinstance(x, torch.Tensor) or (x.is_contiguous() and weight.is_contiguous()):
        return None
    if is_channels_last(x) or is_channels_last(weight):
        return "channels_last"
    if x.is_contiguous():
        return None
    return "strided"


@lowers("conv_tbc")
def conv_tbc(call: OpCall) -> Lowered:
    """self: T,B,C; weight: R,C,K. Counted as a product of each output position with the whole kernel."""
    kernel, channels, out_channels = call["weight"].shape
    positions = call.outputs[0].numel // out_channels
    return "matmul", {"batch": 1, "m": positions, "k": kernel * channels, "n": out_channels, "bias": True}


@lowers("linear", "mkldnn_linear")
def linear(call: OpCall) -> Lowered:
    """input, weight, bias?."""
    return "linear", {"bias": call["bias"] is not None}


@lowers("bilinear")
def bilinear(call: OpCall) -> Lowered:
    """input1, input2, weight, bias?."""
    return "bilinear", {"bias": call["bias"] is not None}


@lowers("_trilinear")
def trilinear(call: OpCall) -> Lowered:
    """Op inside bilinear layers and their derivatives. `expand1` to `expand3`: the axes that each input lacks."""
    missing = [tuple(call[f"expand{i}"]) for i in (1, 2, 3)]
    axes = len(call["i1"].shape) + len(missing[0])
    has = tuple(tuple(axis not in lacking for axis in range(axes)) for lacking in missing)
    sizes = [1] * axes
    for name, present in zip(("i1", "i2", "i3"), has, strict=True):
        input_sizes = iter(call[name].shape)
        for axis in range(axes):
            if present[axis]:
                sizes[axis] = next(input_sizes)
    attrs: Attrs = {
        "sizes": tuple(sizes), "has": has, "summed": tuple(call["sumdim"]), "unrolled": call["unroll_dim"],
    }  # fmt: skip
    return "trilinear", attrs


def _product(a: Any, b: Any, bias: bool) -> Lowered:
    """Lower a product by NumPy's rules: a vector is a row on the left and a column on the right; batches broadcast."""
    left, right = tuple(a.shape), tuple(b.shape)
    m = left[-2] if len(left) > 1 else 1
    n = right[-1] if len(right) > 1 else 1
    batches = [left[:-2], right[:-2]]
    size = max(len(x) for x in batches)
    padded = [(1,) * (size - len(x)) + x for x in batches]
    # 1 broadcasts to the other's size, which may be 0
    batch = prod(y if x == 1 else x for x, y in zip(*padded, strict=True))
    return "matmul", {"batch": batch, "m": m, "k": left[-1], "n": n, "bias": bias}


@lowers("mm", "bmm", "matmul", "mv", "dot", "vdot", "_int_mm")
def matmul(call: OpCall) -> Lowered:
    """A product of two tensors, whose argument names differ between ops."""
    a, b, *_ = [v for v in call.arguments.values() if hasattr(v, "shape")]
    return _product(a, b, bias=False)


@lowers("addmm", "addmv", "baddbmm", "_addmm_activation")
def addmm(call: OpCall) -> Lowered:
    """β·self + a·b; with a β of 0, nothing is added."""
    _, a, b, *_ = [v for v in call.arguments.values() if hasattr(v, "shape")]
    kind, attrs = _product(a, b, bias=call.get("beta", 1) != 0)
    return kind, {**attrs, "addend": True}


@lowers("addbmm")
def addbmm(call: OpCall) -> Lowered:
    """β·self + Σ aᵢ·bᵢ: one product with the batch folded into the inner axis."""
    a, b = call["batch1"].shape, call["batch2"].shape
    bias = call.get("beta", 1) != 0
    return "matmul", {"batch": 1, "m": a[1], "k": a[0] * a[2], "n": b[2], "bias": bias, "addend": True}


@lowers("_scaled_mm")
def scaled_mm(call: OpCall) -> Lowered:
    """A product of 8-bit floats with scales."""
    return _product(call["self"], call["mat2"], bias=call["bias"] is not None)


@lowers("_grouped_mm", "_scaled_grouped_mm")
def grouped_mm(call: OpCall) -> Lowered:
    """Groups split the rows (2D×3D), the columns (3D×2D) or the inner axis (2D×2D), or are a batch (3D×3D)."""
    a, b = call.first("self", "mat_a").shape, call.first("mat2", "mat_b").shape
    rows = prod(a[:-1])
    if len(a) == 3 and len(b) == 2:  # as rows of the transposed product
        return "grouped_matmul", {"rows": b[1], "k": a[2], "n": a[1], "bias": call.get("bias") is not None}
    return "grouped_matmul", {"rows": rows, "k": a[-1], "n": b[-1], "bias": call.get("bias") is not None}


@lowers(
    "scaled_dot_product_attention", "_scaled_dot_product_flash_attention", "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention", "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_fused_attention_overrideable",
)  # fmt: skip
def attention(call: OpCall) -> Lowered:
    """query: *,L,E; key: *,S,E; value: *,S,V. With grouped queries (GQA), keys count as expanded to the queries' heads.

    CUDA's flash kernel aligns a causal mask to the lower right corner, all others to the upper left.
    """
    q, k, v = call["query"].shape, call["key"].shape, call["value"].shape
    heads = list(k[:-2])
    if call.get(
        "enable_gqa", call.name != "scaled_dot_product_attention"
    ):  # kernels take fewer heads of keys than of queries
        heads[-1] = q[-3]
    mask = call.get("attn_mask") if "attn_mask" in call.arguments else call.get("attn_bias")
    attrs: Attrs = {
        "batch": prod(torch.broadcast_shapes(q[:-2], heads)),
        "value_batch": prod(call.outputs[0].shape[:-2]),
        "queries": q[-2],
        "keys": k[-2],
        "width": q[-1],
        "value_width": v[-1],
        "scaled": prod(q) + prod(heads) * prod(k[-2:]),  # elements of queries and keys
        "mask": mask is not None or bool(call.get("is_causal", False)),
        "causal": bool(call.get("is_causal", False)),
    }
    if attrs["causal"] and q[-2] != k[-2] and call.name in _LOWER_RIGHT:
        attrs["lower_right"] = True
    if (kernel := call.get("kernel")) is not None:
        attrs["kernel"] = kernel
    return "attention", attrs


_LOWER_RIGHT = frozenset({"_scaled_dot_product_flash_attention", "_scaled_dot_product_flash_attention_backward"})
"""Kernels that align a causal mask to the lower right corner of the scores."""


@lowers("_native_multi_head_attention")
def native_mha(call: OpCall) -> Lowered:
    """query, key, value: B,L,D."""
    q, k = call["query"].shape, call["key"].shape
    attrs: Attrs = {
        "batch": q[0], "queries": q[1], "keys": k[1], "width": q[2], "heads": call["num_head"],
        "mask": call["mask"] is not None, "weights": bool(call["need_weights"]),
        "average": bool(call["need_weights"] and call["average_attn_weights"]), "mask_type": call["mask_type"],
    }  # fmt: skip
    return "mha", attrs


@lowers("_transformer_encoder_layer_fwd")
def encoder_layer(call: OpCall) -> Lowered:
    """src: B,L,D; ffn_weight_1: F,D."""
    batch, length, width = call["src"].shape
    attrs: Attrs = {
        "batch": batch, "queries": length, "keys": length, "width": width, "heads": call["num_heads"],
        "mask": call["mask"] is not None, "ffn": call["ffn_weight_1"].shape[0],
        "activation": "gelu" if call["use_gelu"] else "relu", "weights": False, "average": False,
        "mask_type": call["mask_type"], "norm_first": bool(call["norm_first"]),
    }  # fmt: skip
    return "encoder_layer", attrs


_LAYERS = {"mkldnn_rnn_layer": "recurrent", "mkldnn_rnn_layer_backward": "recurrent_backward"}


@lowers(*_LAYERS)
def recurrent_layer(call: OpCall) -> Lowered:
    """One layer and direction of an LSTM. input: T,N,I."""
    steps, batch, width = call["input"].shape
    attrs: Attrs = {
        "cell": "lstm", "tokens": steps * batch, "layers": 1, "directions": 1, "input": width,
        "hidden": call["hidden_size"], "recurrent": call["hidden_size"], "bias": bool(call["has_biases"]),
        "steps_axis": None,
    }  # fmt: skip
    return _LAYERS[call.name], attrs


_CELLS = {"lstm": ("lstm", 4), "gru": ("gru", 3), "rnn_tanh": ("tanh", 1), "rnn_relu": ("relu", 1)}
"""Recurrent layers: the cell, and its number of gates."""


@lowers(*_CELLS)
def recurrent(call: OpCall) -> Lowered:
    """input, or (data, batch_sizes) of a packed sequence; weights by layer and direction in one list."""
    packed = "batch_sizes" in call.arguments
    x = call.first("data", "input")
    weights, has_biases = call["params"], bool(call["has_biases"])
    cell, gates = _CELLS[call.name]
    attrs: Attrs = {
        "cell": cell,
        "tokens": x.shape[0] if packed else prod(x.shape[:-1]),
        "layers": call["num_layers"],
        "directions": 2 if call["bidirectional"] else 1,
        "input": x.shape[-1],
        "hidden": weights[0].shape[0] // gates,
        "recurrent": weights[1].shape[1],
        "bias": has_biases,
        "steps_axis": None if packed else int(bool(call.get("batch_first", False))),
    }
    return "recurrent", attrs
