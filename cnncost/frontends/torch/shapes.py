"""Output shapes of the heavy ops, by rule.

Torch's meta kernels for these are written in Python and take most of a forward's time on tensors
without data; some (fused layers) have none. A rule answers only for the plain case: matching
channels, contiguous or channels-last-free inputs. For everything else it returns None, and torch's
own kernel gives the shape or the error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch

from cnncost.frontends.torch.lowering.registry import bound, op_name

Output: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]
ShapeRule: TypeAlias = Callable[[dict[str, Any]], list[Output] | None]

_RULES: dict[str, ShapeRule] = {}


def _shapes(*names: str) -> Callable[[ShapeRule], ShapeRule]:
    def register(function: ShapeRule) -> ShapeRule:
        _RULES.update(dict.fromkeys(names, function))
        return function

    return register


def output_types(func: Any, args: Any, kwargs: Any) -> list[Output] | None:
    """Size, strides and dtype of each output, or None where no rule answers."""
    name = op_name(func)
    rule = _RULES.get(name)
    if rule is None or func._schema.is_mutable:
        return None
    try:
        return rule(bound(func, args, kwargs))
    except (ValueError, IndexError, TypeError, AttributeError, ZeroDivisionError):
        return None  # settings of another form than the rule knows are torch's to judge


def _packed(size: tuple[int, ...], dtype: torch.dtype) -> Output:
    strides = [1] * len(size)
    for i in range(len(size) - 2, -1, -1):
        strides[i] = strides[i + 1] * max(size[i + 1], 1)
    return size, tuple(strides), dtype


def _tuple(value: Any, axes: int) -> list[int]:
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    return values * axes if len(values) == 1 else values


def _ready(*tensors: torch.Tensor | None) -> bool:
    """All contiguous and of one dtype."""
    present = [t for t in tensors if t is not None]
    return all(t.is_contiguous() for t in present) and len({t.dtype for t in present}) == 1


def _channels_last(*tensors: torch.Tensor) -> bool:
    """Whether an image, or the weight that meets it, keeps its channels last; if one does, so does the result."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return len({t.dtype for t in tensors}) == 1 and any(
        t.dim() in formats and not t.is_contiguous() and t.is_contiguous(memory_format=formats[t.dim()]) for t in tensors
    )


def _ordered(size: tuple[int, ...], dtype: torch.dtype, channels_last: bool) -> Output:
    if not channels_last:
        return _packed(size, dtype)
    _, strides, _ = _packed((size[0], *size[2:], size[1]), dtype)
    return size, (strides[0], strides[-1], *strides[1:-1]), dtype


@_shapes("conv1d", "conv2d", "conv3d", "convolution")
def _conv(a: dict[str, Any]) -> list[Output] | None:
    x, w, padding = a["input"], a["weight"], a["padding"]
    axes, groups = w.dim() - 2, a["groups"]
    if a.get("transposed"):
        return _conv_transpose(a)
    fits = x.dim() == w.dim() and x.shape[1] == w.shape[1] * groups and w.shape[0] % groups == 0
    last = _channels_last(x, w)
    if not fits or not (_ready(x, w, a["bias"]) or last) or isinstance(padding, str):
        return None
    if a["bias"] is not None and a["bias"].shape != w.shape[:1]:
        return None
    geometry = zip(x.shape[2:], w.shape[2:], _tuple(a["stride"], axes), _tuple(padding, axes),
                   _tuple(a["dilation"], axes), strict=True)  # fmt: skip
    spatial = []
    for size, kernel, stride, pad, dilation in geometry:
        reach = size + 2 * pad - dilation * (kernel - 1) - 1
        if reach < 0 or stride < 1 or dilation < 1 or pad < 0:
            return None
        spatial.append(reach // stride + 1)
    return [_ordered((x.shape[0], w.shape[0], *spatial), x.dtype, last)]


@_shapes("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _conv_transpose(a: dict[str, Any]) -> list[Output] | None:
    x, w = a["input"], a["weight"]
    axes, groups = w.dim() - 2, a["groups"]
    last = _channels_last(x, w)
    if x.dim() != w.dim() or x.shape[1] != w.shape[0] or w.shape[0] % groups or not (_ready(x, w, a["bias"]) or last):
        return None
    if a["bias"] is not None and tuple(a["bias"].shape) != (w.shape[1] * groups,):
        return None
    names = ("stride", "padding", "dilation", "output_padding")
    geometry = zip(x.shape[2:], w.shape[2:], *(_tuple(a[n], axes) for n in names), strict=True)
    spatial = []
    for size, kernel, stride, pad, dilation, extra in geometry:
        if not (0 <= extra < max(stride, dilation)) or size < 1 or pad < 0 or stride < 1 or dilation < 1:
            return None
        spatial.append((size - 1) * stride - 2 * pad + dilation * (kernel - 1) + extra + 1)
    size = (x.shape[0], w.shape[1] * groups, *spatial)
    return [_ordered(size, x.dtype, last)] if min(spatial) > 0 else None


@_shapes("batch_norm")
def _batch_norm(a: dict[str, Any]) -> list[Output] | None:
    x, channels = a["input"], a["input"].shape[1:2]
    perchannel = [a[n] for n in ("weight", "bias", "running_mean", "running_var") if a[n] is not None]
    if any(t.dtype != x.dtype and (t.dtype, x.dtype.itemsize) != (torch.float32, 2) for t in perchannel):
        return None  # float32 statistics beside half or bfloat16 are the one mixture that is allowed
    if not a["training"] and (a["running_mean"] is None or a["running_var"] is None):
        return None
    if x.dim() < 2 or any(t.shape != channels for t in perchannel) or not x.is_contiguous():
        return None
    return [_packed(tuple(x.shape), x.dtype)]


@_shapes("native_batch_norm", "_native_batch_norm_legit")
def _native_batch_norm(a: dict[str, Any]) -> list[Output] | None:
    y = _batch_norm(a) if "running_mean" in a else None
    if y is None or a["input"].dtype != torch.float32:
        return None
    saved = _packed((a["input"].shape[1] if a["training"] else 0,), torch.float32)
    return [*y, saved, saved]


@_shapes("layer_norm")
def _layer_norm(a: dict[str, Any]) -> list[Output] | None:
    x, shape = a["input"], tuple(a["normalized_shape"])
    if not shape:
        return None
    affine = [a[n] for n in ("weight", "bias") if a[n] is not None]
    if tuple(x.shape[x.dim() - len(shape) :]) != shape or any(tuple(t.shape) != shape for t in affine):
        return None
    return [_packed(tuple(x.shape), x.dtype)] if _ready(x, *affine) else None


@_shapes("group_norm", "native_group_norm")
def _group_norm(a: dict[str, Any]) -> list[Output] | None:
    x, whole = a["input"], a["__op__"] == "group_norm"
    groups = a["num_groups"] if whole else a["group"]
    affine = [a[n] for n in ("weight", "bias") if a[n] is not None]
    last = _channels_last(x)
    if x.dim() < 2 or x.shape[1] % groups or any(t.shape != x.shape[1:2] or t.dtype != x.dtype for t in affine):
        return None
    if not (x.is_contiguous() or last) or not x.is_floating_point() or x.dtype.itemsize < 4:
        return None
    y, saved = _ordered(tuple(x.shape), x.dtype, last), _packed((x.shape[0], groups), x.dtype)
    return [y] if whole else [y, saved, saved]


@_shapes("linear")
def _linear(a: dict[str, Any]) -> list[Output] | None:
    x, w, bias = a["input"], a["weight"], a["bias"]
    if w.dim() != 2 or x.dim() < 1 or x.shape[-1] != w.shape[1] or x.dtype != w.dtype:
        return None
    if bias is not None and (tuple(bias.shape) != (w.shape[0],) or bias.dtype != w.dtype):
        return None
    return [_packed((*x.shape[:-1], w.shape[0]), x.dtype)] if x.is_contiguous() else None


@_shapes("scaled_dot_product_attention")
def _attention(a: dict[str, Any]) -> list[Output] | None:
    q, k, v, mask = a["query"], a["key"], a["value"], a["attn_mask"]
    same = q.dtype == k.dtype == v.dtype and q.dim() == k.dim() == v.dim() >= 3 and q.shape[:-2] == k.shape[:-2] == v.shape[:-2]
    if not same or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        return None
    if mask is not None and mask.dtype not in (torch.bool, q.dtype):
        return None
    scores = (*q.shape[:-1], k.shape[-2])
    if mask is not None and (mask.dim() < 2 or a["is_causal"] or _broadcast(tuple(mask.shape), scores) != scores):
        return None
    return [_packed((*q.shape[:-1], v.shape[-1]), q.dtype)]


@_shapes("_transformer_encoder_layer_fwd")
def _encoder_layer(a: dict[str, Any]) -> list[Output] | None:
    src, width = a["src"], a["embed_dim"]
    fits = src.dim() == 3 and src.shape[2] == width == a["ffn_weight_1"].shape[1] and width % a["num_heads"] == 0
    return [_packed(tuple(src.shape), src.dtype)] if fits else None


@_shapes("_native_multi_head_attention")
def _native_mha(a: dict[str, Any]) -> list[Output] | None:
    q, k, heads = a["query"], a["key"], a["num_head"]
    if q.dim() != 3 or q.shape[2] != a["embed_dim"] or a["embed_dim"] % heads:
        return None
    weights = (q.shape[0], q.shape[1], k.shape[1]) if a["average_attn_weights"] else (q.shape[0], heads, q.shape[1], k.shape[1])
    return [_packed(tuple(q.shape), q.dtype), _packed(weights if a["need_weights"] else (0,), q.dtype)]


@_shapes("lstm", "gru", "rnn_tanh", "rnn_relu")
def _recurrent(a: dict[str, Any]) -> list[Output] | None:
    packed = "batch_sizes" in a
    x = a["data"] if packed else a["input"]
    state = a["hx"] if isinstance(a["hx"], (list, tuple)) else [a["hx"]]
    weights, directions = a["params"], 2 if a["bidirectional"] else 1
    back = weights[1].shape[1]
    # an LSTM keeps two states and has four gates; the others' one state is as wide as their hidden layer
    hidden = weights[0].shape[0] // 4 if len(state) == 2 else back
    if x.dim() != (2 if packed else 3) or x.shape[-1] != weights[0].shape[1] or len({x.dtype, weights[0].dtype}) != 1:
        return None
    batch = state[0].shape[1] if packed else x.shape[1 if not a.get("batch_first") else 0]
    first = (a["num_layers"] * directions, batch, back)
    expected = [first, (first[0], batch, hidden)][: len(state)]
    if [tuple(s.shape) for s in state] != expected:
        return None
    return [_packed((*x.shape[:-1], back * directions), x.dtype), *(_packed(s, x.dtype) for s in expected)]


_SAME = """
relu relu6 hardtanh sigmoid tanh gelu silu mish elu selu celu leaky_relu softplus hardsigmoid hardswish log_sigmoid exp log
sqrt rsqrt neg abs square sin cos erf reciprocal """.split()


@_shapes(*_SAME)
def _same(a: dict[str, Any]) -> list[Output] | None:
    x = a["self"]
    if a.get("approximate", "none") not in {"none", "tanh"}:
        return None
    return [_packed(tuple(x.shape), x.dtype)] if x.is_floating_point() and x.is_contiguous() else None


@_shapes("softmax", "_softmax", "log_softmax", "_log_softmax")
def _softmax(a: dict[str, Any]) -> list[Output] | None:
    x, axes = a["self"], max(a["self"].dim(), 1)
    if a.get("dtype") is not None or a.get("half_to_float") or not -axes <= a["dim"] < axes:
        return None
    return [_packed(tuple(x.shape), x.dtype)] if x.is_floating_point() and x.is_contiguous() else None


@_shapes("dropout", "feature_dropout")
def _dropout(a: dict[str, Any]) -> list[Output] | None:
    x = a["input"]
    plain = x.is_floating_point() and x.is_contiguous() and 0 <= a["p"] <= 1
    # outside of training it is its input itself
    return [_packed(tuple(x.shape), x.dtype)] if plain and a["train"] and 0 < a["p"] and a["__op__"] == "dropout" else None


_COMPARISONS = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})


@_shapes("add", "sub", "mul", "div", "pow", "maximum", "minimum", *_COMPARISONS)
def _binary(a: dict[str, Any]) -> list[Output] | None:
    x, y = a["self"], a["exponent"] if "exponent" in a else a["other"]
    if not isinstance(x, torch.Tensor) or not x.is_floating_point() or not x.is_contiguous() or a.get("rounding_mode"):
        return None
    dtype = torch.bool if a["__op__"] in _COMPARISONS else x.dtype
    if not isinstance(y, torch.Tensor):
        return [_packed(tuple(x.shape), dtype)] if type(y) in {int, float} else None
    if y.dtype != x.dtype or not y.is_contiguous():
        return None
    shape = _broadcast(tuple(x.shape), tuple(y.shape))
    return [_packed(shape, dtype)] if shape is not None else None


def _broadcast(x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...] | None:
    size = max(len(x), len(y))
    x, y = (1,) * (size - len(x)) + x, (1,) * (size - len(y)) + y
    if any(m != n and 1 not in (m, n) for m, n in zip(x, y, strict=True)):
        return None
    return tuple(n if m == 1 else m for m, n in zip(x, y, strict=True))


@_shapes("cat", "concat", "concatenate")
def _cat(a: dict[str, Any]) -> list[Output] | None:
    tensors = a["tensors"]
    first, dim = tensors[0], a["dim"]
    if not isinstance(dim, int) or not -first.dim() <= dim < first.dim() or not _ready(*tensors):
        return None
    dim %= first.dim()
    rest = {(*t.shape[:dim], *t.shape[dim + 1 :]) if t.dim() == first.dim() else None for t in tensors}
    if len(rest) != 1 or None in rest:
        return None
    size = sum(t.shape[dim] for t in tensors)
    return [_packed((*first.shape[:dim], size, *first.shape[dim + 1 :]), first.dtype)]


@_shapes("pad", "constant_pad_nd")
def _pad(a: dict[str, Any]) -> list[Output] | None:
    x, pad = a["self"], list(a["pad"])
    if a.get("mode", "constant") != "constant" or len(pad) % 2 or len(pad) > 2 * x.dim() or not x.is_contiguous():
        return None
    shape = list(x.shape)
    for i, (before, after) in enumerate(zip(pad[::2], pad[1::2], strict=True), 1):
        shape[-i] += before + after
    # a pad of nothing may be a view
    return [_packed(tuple(shape), x.dtype)] if min(pad, default=0) >= 0 and any(pad) else None


@_shapes("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d")
def _pool(a: dict[str, Any]) -> list[Output] | None:
    x, size = a["self"], a["kernel_size"]
    axes = next(n for n in (1, 2, 3) if f"{n}d" in a["__op__"])
    sizes = [_tuple(a[n] or size, axes) if n == "stride" else _tuple(a.get(n, 1), axes)
             for n in ("kernel_size", "stride", "padding", "dilation")]  # fmt: skip
    if x.dim() != axes + 2 or not x.is_contiguous() or not x.is_floating_point():
        return None
    if a["__op__"].startswith("avg") and any(k > n for k, n in zip(sizes[0], x.shape[2:], strict=True)):
        return None  # some of torch's kernels refuse it, whatever the padding
    geometry = zip(x.shape[2:], *sizes, strict=True)
    spatial = [_pooled(n, kernel, stride, pad, dilation, a["ceil_mode"]) for n, kernel, stride, pad, dilation in geometry]
    return [_packed((*x.shape[:2], *spatial), x.dtype)] if min(spatial) > 0 else None


def _pooled(size: int, kernel: int, stride: int, pad: int, dilation: int, ceil: bool) -> int:
    """Output size of a pooling axis; 0 for settings that torch refuses."""
    if kernel < 1 or stride < 1 or dilation < 1 or not 0 <= pad <= kernel // 2:
        return 0
    reach = size + 2 * pad - dilation * (kernel - 1) - 1
    if reach < 0:
        return 0
    out = -(-reach // stride) + 1 if ceil else reach // stride + 1
    # the last window must start inside the input or its left padding
    return out - 1 if ceil and (out - 1) * stride >= size + pad else out


@_shapes("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def _adaptive_pool(a: dict[str, Any]) -> list[Output] | None:
    x, size = a["self"], tuple(a["output_size"])
    if f"{len(size)}d" not in a["__op__"] or x.dim() != len(size) + 2 or not x.is_contiguous() or min(size, default=0) < 1:
        return None
    return [_packed((*x.shape[:2], *size), x.dtype)] if x.is_floating_point() else None


@_shapes("mean", "sum", "amax", "amin")
def _reduce(a: dict[str, Any]) -> list[Output] | None:
    x, dims = a["self"], a.get("dim")
    if not x.is_floating_point() or a.get("dtype") is not None or not x.dim() or 0 in x.shape:
        return None
    dims = [dims] if isinstance(dims, int) else dims
    if dims and any(not -x.dim() <= d < x.dim() for d in dims):
        return None
    axes = {d % x.dim() for d in dims} if dims else set(range(x.dim()))
    if dims and len(axes) != len(dims):
        return None
    kept = [(1 if i in axes else n) for i, n in enumerate(x.shape) if a.get("keepdim") or i not in axes]
    return [_packed(tuple(kept), x.dtype)]


def rule_names() -> tuple[str, ...]:
    """The ops that have a shape rule."""
    return tuple(sorted(_RULES))

