"""Shape rules for convolutions, norms, linear layers, attention and recurrent layers."""

from __future__ import annotations

from typing import Any

import torch

from cnncost.frontends.torch.attention_kernels import REFERENCE
from cnncost.frontends.torch.overloads import statistics_dtype
from cnncost.frontends.torch.shapes.registry import (
    Output,
    broadcast,
    channels_last,
    ordered,
    packed,
    per_axis,
    ready,
    shapes,
)

_AXES = {f"{op}{axes}d": axes for op in ("conv", "conv_transpose") for axes in (1, 2, 3)}


@shapes("conv1d", "conv2d", "conv3d", "convolution")
def _conv(a: dict[str, Any]) -> list[Output] | None:
    x, w, bias, padding, groups = a["input"], a["weight"], a["bias"], a["padding"], a["groups"]
    if a.get("transposed"):
        return _conv_transpose(a)
    size, kernel = x.shape, w.shape
    axes, channels_out = len(kernel) - 2, kernel[0]
    if _AXES.get(a["__op__"], axes) != axes or len(size) != axes + 2 or isinstance(padding, str):
        return None
    if size[1] != kernel[1] * groups or channels_out % groups:
        return None
    last = not (x.is_contiguous() and w.is_contiguous()) and channels_last(x, w)
    if not (last or ready(x, w)) or not _fits(bias, (channels_out,), x.dtype, last):
        return None
    spatial = []
    geometry = (per_axis(a["stride"], axes), per_axis(padding, axes), per_axis(a["dilation"], axes))
    for n, window, stride, pad, dilation in zip(size[2:], kernel[2:], *geometry, strict=True):
        reach = n + 2 * pad - dilation * (window - 1) - 1
        if reach < 0 or stride < 1 or dilation < 1 or pad < 0:
            return None
        spatial.append(reach // stride + 1)
    return [ordered((size[0], channels_out, *spatial), x.dtype, last)]


def _fits(bias: torch.Tensor | None, shape: tuple[int, ...], dtype: torch.dtype, last: bool) -> bool:
    """True if there is no bias, or it has this shape and dtype and is contiguous (any strides if `last`)."""
    return bias is None or (bias.shape == shape and bias.dtype is dtype and (last or bias.is_contiguous()))


@shapes("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _conv_transpose(a: dict[str, Any]) -> list[Output] | None:
    x, w = a["input"], a["weight"]
    axes, groups = w.dim() - 2, a["groups"]
    last = channels_last(x, w)
    if _AXES.get(a["__op__"], axes) != axes or x.dim() != w.dim() or not (last or ready(x, w)):
        return None
    if x.shape[1] != w.shape[0] or w.shape[0] % groups:
        return None
    if not _fits(a["bias"], (w.shape[1] * groups,), x.dtype, last):
        return None
    names = ("stride", "padding", "dilation", "output_padding")
    geometry = zip(x.shape[2:], w.shape[2:], *(per_axis(a[n], axes) for n in names), strict=True)
    spatial = []
    for size, kernel, stride, pad, dilation, extra in geometry:
        if not (0 <= extra < max(stride, dilation)) or size < 1 or pad < 0 or stride < 1 or dilation < 1:
            return None
        spatial.append((size - 1) * stride - 2 * pad + dilation * (kernel - 1) + extra + 1)
    size = (x.shape[0], w.shape[1] * groups, *spatial)
    return [ordered(size, x.dtype, last)] if min(spatial) > 0 else None


_SETTINGS = ("stride", "padding", "output_padding", "dilation")
_SLOW = {
    "_slow_conv2d_forward": 2, "slow_conv3d_forward": 3, "slow_conv_dilated2d": 2, "slow_conv_dilated3d": 3,
    "slow_conv_transpose3d": 3,
}  # fmt: skip


@shapes(*_SLOW)
def _slow_conv(a: dict[str, Any]) -> list[Output] | None:
    """Kernels that can be called by name but can't run without data, by their number of axes."""
    x, w, name = a["self"], a["weight"], a["__op__"]
    axes = _SLOW[name]
    if w.dim() != axes + 2 or not ready(x, w) or per_axis(a["kernel_size"], axes) != list(w.shape[2:]):
        return None
    settings = [a[setting] for setting in _SETTINGS if isinstance(a.get(setting), list)]
    if any(len(each) != axes for each in settings):
        return None  # unlike `conv2d`, they don't expand `[2]`
    rule = _conv_transpose if name == "slow_conv_transpose3d" else _conv
    return rule({"dilation": 1, **a, "input": x, "groups": 1})


@shapes("batch_norm")
def _batch_norm(a: dict[str, Any]) -> list[Output] | None:
    x, mean, variance = a["input"], a["running_mean"], a["running_var"]
    size, dtype = x.shape, x.dtype
    if (not a["training"] and (mean is None or variance is None)) or len(size) < 2 or not x.is_contiguous():
        return None
    for t in (a["weight"], a["bias"], mean, variance):
        if t is None:
            continue
        if t.shape != size[1:2]:
            return None
        if t.dtype is not dtype and (t.dtype is not torch.float32 or dtype.itemsize != 2):
            return None  # the only mix that is supported: float32 weights and statistics with 16-bit inputs
    return [packed(tuple(size), dtype)]


@shapes("native_batch_norm", "_native_batch_norm_legit", "_batch_norm_with_update", "_batch_norm_no_update")
def _native_batch_norm(a: dict[str, Any]) -> list[Output] | None:
    """Output and saved statistics per channel, which are empty in eval mode. Newer ops also return a byte buffer."""
    newer = a["__op__"].startswith("_batch_norm")
    trains = a["__op__"] == "_batch_norm_with_update" if newer else a["training"]
    named = {"running_mean": None, "running_var": None, **a, "training": trains}
    y = _batch_norm(named)
    if y is None:
        return None
    others = [named[name] for name in ("weight", "bias", "running_mean", "running_var")]
    saved = packed((a["input"].shape[1] if trains else 0,), statistics_dtype(a["input"], others))
    return [*y, saved, saved, *([packed((0,), torch.uint8)] if newer else [])]


@shapes("native_layer_norm")
def _native_layer_norm(a: dict[str, Any]) -> list[Output] | None:
    """Output, mean and inverse standard deviation per row."""
    y = _layer_norm(a)
    if y is None:
        return None
    x = a["input"]
    axes = len(a["normalized_shape"])
    saved = packed((*x.shape[: x.dim() - axes], *[1] * axes), statistics_dtype(x, [a["weight"], a["bias"]]))
    return [*y, saved, saved]


@shapes("layer_norm")
def _layer_norm(a: dict[str, Any]) -> list[Output] | None:
    x, shape = a["input"], tuple(a["normalized_shape"])
    if not shape:
        return None
    affine = [a[n] for n in ("weight", "bias") if a[n] is not None]
    if tuple(x.shape[x.dim() - len(shape) :]) != shape or any(tuple(t.shape) != shape for t in affine):
        return None
    mixed = x.dtype.itemsize == 2 and all(t.dtype == torch.float32 for t in affine)
    plain = x.is_floating_point() and (mixed or all(t.dtype is x.dtype for t in affine))
    return [packed(tuple(x.shape), x.dtype)] if plain else None  # contiguous, whatever the input's strides


@shapes("group_norm", "native_group_norm")
def _group_norm(a: dict[str, Any]) -> list[Output] | None:
    x, whole = a["input"], a["__op__"] == "group_norm"
    groups = a["num_groups"] if whole else a["group"]
    affine = [a[n] for n in ("weight", "bias") if a[n] is not None]
    last = channels_last(x)
    dtypes = {t.dtype for t in affine}
    mixed = x.dtype.itemsize == 2 and dtypes == {torch.float32}  # the only mix that is supported
    if x.dim() < 2 or x.shape[1] % groups or any(t.shape != x.shape[1:2] for t in affine):
        return None
    if not (x.is_contiguous() or last) or not x.is_floating_point():
        return None
    if not mixed and (x.dtype.itemsize < 4 or not dtypes <= {x.dtype}):
        return None
    y = ordered(tuple(x.shape), x.dtype, last)
    saved = packed((x.shape[0], groups), torch.float32 if mixed else x.dtype)
    return [y] if whole else [y, saved, saved]


@shapes("native_group_norm_backward", "native_layer_norm_backward")
def _norm_backward(a: dict[str, Any]) -> list[Output] | None:
    """Only for 16-bit inputs with float32 weights, for which torch 2.9's layer norm returns other dtypes on meta."""
    x, weight = a["input"], a["weight"]
    if weight is None or not all(a["output_mask"]) or not ready(a["grad_out"], x):
        return None
    if x.dtype.itemsize != 2 or weight.dtype != torch.float32:
        return None
    gradient = packed(tuple(weight.shape), weight.dtype)
    return [packed(tuple(x.shape), x.dtype), gradient, gradient]


@shapes("linear")
def _linear(a: dict[str, Any]) -> list[Output] | None:
    x, w, bias = a["input"], a["weight"], a["bias"]
    if w.dim() != 2 or x.dim() < 1 or x.shape[-1] != w.shape[1] or x.dtype != w.dtype:
        return None
    if bias is not None and (tuple(bias.shape) != (w.shape[0],) or bias.dtype != w.dtype):
        return None
    return [packed((*x.shape[:-1], w.shape[0]), x.dtype)] if x.is_contiguous() else None


@shapes("scaled_dot_product_attention")
def _attention(a: dict[str, Any]) -> list[Output] | None:
    q, k, v, mask = a["query"], a["key"], a["value"], a["attn_mask"]
    same = (
        q.dtype == k.dtype == v.dtype
        and q.dim() == k.dim() == v.dim() >= 3
        and q.shape[:-2] == k.shape[:-2] == v.shape[:-2]
    )
    if not same or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        return None
    if mask is not None and mask.dtype not in (torch.bool, q.dtype):
        return None
    scores = (*q.shape[:-1], k.shape[-2])
    if mask is not None and (mask.dim() < 2 or a["is_causal"] or broadcast(tuple(mask.shape), scores) != scores):
        return None
    if a.get("kernel", REFERENCE) != REFERENCE and not q.is_contiguous():  # such outputs have the query's strides
        return None
    return [packed((*q.shape[:-1], v.shape[-1]), q.dtype)]


@shapes("_scaled_dot_product_flash_attention_for_cpu")
def _flash(a: dict[str, Any]) -> list[Output] | None:
    """Output with the query's strides, and each row's logsumexp, with heads as the innermost axis in memory."""
    q, k, v = a["query"], a["key"], a["value"]
    if not (q.is_meta and q.dim() == k.dim() == v.dim() == 4 and q.shape[-1] == k.shape[-1] == v.shape[-1]):
        return None
    out = torch.empty_like(q)
    batch, heads, queries, _ = q.shape
    statistics = torch.float64 if q.dtype is torch.float64 else torch.float32
    return [
        (tuple(out.shape), out.stride(), q.dtype),
        ((batch, heads, queries), (queries * heads, 1, heads), statistics),
    ]


@shapes("_transformer_encoder_layer_fwd")
def _encoder_layer(a: dict[str, Any]) -> list[Output] | None:
    src, width = a["src"], a["embed_dim"]
    fits = src.dim() == 3 and src.shape[2] == width == a["ffn_weight_1"].shape[1] and width % a["num_heads"] == 0
    return [packed(tuple(src.shape), src.dtype)] if fits else None


@shapes("_native_multi_head_attention")
def _native_mha(a: dict[str, Any]) -> list[Output] | None:
    q, k, heads = a["query"], a["key"], a["num_head"]
    if q.dim() != 3 or q.shape[2] != a["embed_dim"] or a["embed_dim"] % heads:
        return None
    weights = (
        (q.shape[0], q.shape[1], k.shape[1])
        if a["average_attn_weights"]
        else (q.shape[0], heads, q.shape[1], k.shape[1])
    )
    return [packed(tuple(q.shape), q.dtype), packed(weights if a["need_weights"] else (0,), q.dtype)]


@shapes("lstm", "gru", "rnn_tanh", "rnn_relu")
def _recurrent(a: dict[str, Any]) -> list[Output] | None:
    is_packed = "batch_sizes" in a
    x = a["data"] if is_packed else a["input"]
    state = a["hx"] if isinstance(a["hx"], (list, tuple)) else [a["hx"]]
    weights, directions = a["params"], 2 if a["bidirectional"] else 1
    back = weights[1].shape[1]  # width of the state that is fed back: with a projection less than `hidden`
    # an LSTM has two states and four gates; the other cells have one state, of their hidden width
    hidden = weights[0].shape[0] // 4 if len(state) == 2 else back
    if (
        x.dim() != (2 if is_packed else 3)
        or x.shape[-1] != weights[0].shape[1]
        or any(w.dtype is not x.dtype for w in weights)
    ):
        return None
    batch = state[0].shape[1] if is_packed else x.shape[1 if not a.get("batch_first") else 0]
    first = (a["num_layers"] * directions, batch, back)
    expected = [first, (first[0], batch, hidden)][: len(state)]
    if [tuple(s.shape) for s in state] != expected:
        return None
    out, *dtypes = _promoted(a["__op__"], x.dtype, [s.dtype for s in state], back != hidden)
    return [packed((*x.shape[:-1], back * directions), out), *map(packed, expected, dtypes)]


def _promoted(cell: str, dtype: torch.dtype, states: list[torch.dtype], projected: bool) -> list[torch.dtype]:
    """Dtypes of the output and of each state, if the states' dtypes differ from the matmuls' (autocast on a CPU).

    Results that combine both dtypes are promoted: a GRU's h = (h − n)·z + n, an LSTM's c = c·f + i·g and o·tanh(c). The
    result of a matmul, or of tanh of a sum of matmuls, keeps the matmuls' dtype.
    """
    if cell == "lstm":
        cell_state = torch.promote_types(dtype, states[1])
        hidden = dtype if projected else cell_state
        return [hidden, hidden, cell_state]
    hidden = torch.promote_types(dtype, states[0]) if cell == "gru" else dtype
    return [hidden, hidden]


@shapes("embedding_bag", "_embedding_bag", "_embedding_bag_forward_only")
def _embedding_bag(a: dict[str, Any]) -> list[Output] | None:
    """The bags; the bag of each index (empty if the CPU kernel sums directly); bag sizes; indices of maxima."""
    weight, indices, offsets, mode = a["weight"], a["indices"], a["offsets"], a["mode"]
    sample_weights = a["per_sample_weights"]
    plain = weight.dim() == 2 and indices.dim() == offsets.dim() == 1 and not a["include_last_offset"]
    if not plain or indices.dtype != offsets.dtype or not weight.is_contiguous():
        return None
    bags, width = offsets.shape[0], weight.shape[1]
    padding = a.get("padding_idx", -1)
    direct = mode == _SUM and weight.dtype is not torch.float64 and (padding is None or padding == -1)
    if sample_weights is not None and (mode != _SUM or sample_weights.dtype != weight.dtype):
        return None
    bag_of = packed((0 if direct else indices.shape[0],), indices.dtype)
    maxima = packed((bags, width) if mode == _MAX else (bags,), indices.dtype)
    return [packed((bags, width), weight.dtype), bag_of, packed((bags,), indices.dtype), maxima]


_SUM, _MAX = 0, 2
"""ATen's numbers for the reduction modes of bags."""


@shapes("quantized::linear_dynamic", "quantized::linear_relu_dynamic")
def _dynamic_linear(a: dict[str, Any]) -> list[Output]:
    """The output is floating-point, like the input. Torch has no meta kernel for these ops."""
    x, packed_weight = next(iter(a.values())), next(v for v in a.values() if hasattr(v, "unpack"))
    return [packed((*x.shape[:-1], packed_weight.unpack()[0].shape[0]), x.dtype)]


@shapes("_grouped_mm")
def _grouped_product(a: dict[str, Any]) -> list[Output] | None:
    """Rows, columns or the inner axis are split into groups of unknown sizes. Torch's meta kernel takes only bfloat16.

    T,I by G,I,O → T,O; G,O,I by I,T → O,T; O,T by T,I → G,O,I; G,O,I by G,I,T → G,O,T, for T tokens, G groups,
    I input and O output features. Rows of the result start at multiples of 16 bytes.
    """
    x, w, ends = a["self"], a["mat2"], a["offs"]
    batches = [t.shape[0] for t in (x, w) if t.dim() == 3]
    if {x.dim(), w.dim()} - {2, 3} or x.shape[-1] != w.shape[-2] or x.dtype != w.dtype or x.dtype not in _GROUPED:
        return None
    if a["bias"] is not None or (ends is None) != (len(batches) == 2) or not (_in_steps(x) and _in_steps(w)):
        return None
    if ends is not None:
        if ends.dtype != torch.int32 or ends.dim() != 1:
            return None
        batches.append(ends.shape[0])
    if len(set(batches)) > 1:
        return None
    dtype = a["out_dtype"] or x.dtype
    m, n = x.shape[-2], w.shape[-1]
    step = -(-n * dtype.itemsize // 16) * 16 // dtype.itemsize
    if x.dim() == w.dim():
        return [((batches[0], m, n), (m * step, step, 1), dtype)]
    return [((m, n), (step, 1), dtype)]


_GROUPED = (torch.float32, torch.bfloat16, torch.float16)
"""Dtypes that grouped products support."""


def _in_steps(tensor: torch.Tensor) -> bool:
    """True if rows or columns are dense and start at multiples of 16 bytes, as grouped products require."""
    inner, outer = sorted(tensor.stride()[-2:])
    return inner == 1 and outer * tensor.element_size() % 16 == 0
