"""Attention, as ONNX has it and as ONNX Runtime fuses it; fused convolutions and products."""

from __future__ import annotations

from math import prod
from typing import Any

from cnncost.frontends.onnx.lowering.products import gemm_steps, geometry
from cnncost.frontends.onnx.lowering.registry import MICROSOFT, Attrs, Made, Op, Ref, Source, lowers, shapes
from cnncost.graph import Shape
from cnncost.tensor_types import TensorType

_ACTIVATIONS = {"Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid", "LeakyRelu": "leaky_relu", "Clip": "clamp",
                "HardSigmoid": "hardsigmoid"}  # fmt: skip


def attended(op: Op, q: Source, k: Source, v: Source, mask: tuple[Source, ...], causal: bool) -> Ref:
    """Attention over q: N,H,L,E; k: N,G,S,E; v: N,G,S,V, of which the heads of q may share groups of G."""
    a, b, c = (op.type_of(each).shape for each in (q, k, v))
    heads = (*a[:2],)
    attrs: Attrs = {
        "batch": prod(heads), "value_batch": prod(heads), "queries": a[-2], "keys": b[-2], "width": a[-1],
        "value_width": c[-1], "scaled": prod(a) + prod(heads) * prod(b[-2:]), "mask": bool(mask) or causal,
        "causal": causal,
    }  # fmt: skip
    to = op.type_of(q)._replace(shape=(*heads, a[-2], c[-1]))
    return op.step("attention", attrs, [q, k, v, *mask], to)


def _by_heads(op: Op, source: Source, heads: int) -> Source:
    """N,L,H·E as N,H,L,E."""
    n, length, width = op.type_of(source).shape
    split = op.reshaped(source, (n, length, heads, width // heads))
    return op.permuted(split, (0, 2, 1, 3), copy=False)


def _split_evenly(heads: Any, *widths: int) -> bool:
    """Whether the number of heads is given and divides the widths of queries, keys and values."""
    return bool(heads) and all(width % heads == 0 for width in widths)


def _together(op: Op, source: Source) -> Source:
    """N,H,L,V as N,L,H·V."""
    n, heads, length, width = op.type_of(source).shape
    return op.reshaped(op.permuted(source, (0, 2, 1, 3)), (n, length, heads * width))


@lowers("Attention")
def attention(op: Op) -> Made | None:
    """Q, K, V of four axes, or of three with numbers of heads; mask?. With caches or a soft cap: by its definition."""
    plain = not op.has(4) and not op.has(5) and not op.has(6) and not op.get("softcap")
    if not plain or any(output is not None for output in op.outputs[1:]) or op.get("softmax_precision"):
        return None
    sources: list[Source] = [0, 1, 2]
    flat = len(op.x().shape) == 3
    if flat:
        groups = op.get("kv_num_heads")
        sources = [_by_heads(op, i, n) for i, n in ((0, op.get("q_num_heads")), (1, groups), (2, groups))]
    q, k, v = sources
    made = attended(op, q, k, v, op.present(3), bool(op.get("is_causal")))
    return [_together(op, made) if flat else made]


@shapes("MultiHeadAttention")
def multi_head_type(op: Op) -> list[TensorType | None] | None:
    """query: N,L,D; value: N,S,V. Packed inputs and caches are not followed."""
    if len(op.x().shape) != 3 or not op.has(2) or len(op.x(2).shape) != 3:
        return None
    return [op.x()._replace(shape=(*op.x().shape[:2], op.x(2).shape[-1]))]


@lowers("MultiHeadAttention", domain=MICROSOFT, weights=(3,))
def multi_head(op: Op) -> Made | None:
    """query, key, value; bias? of all three; position bias?. No projections. With padding masks and caches: unknown."""
    heads = op.get("num_heads")
    if not op.has(1) or len(op.x(1).shape) != 3 or op.present(4, 6, 7, 8, 9):
        return None
    if not _split_evenly(heads, *(op.x(i).shape[-1] for i in range(3))):
        return None
    sources: list[Source] = [0, 1, 2]
    if op.has(3):
        at = 0
        for i in range(3):
            width = op.x(i).shape[-1]
            part = op.move(3, (("slice", 0, at, width, 1),), op.x(3)._replace(shape=(width,)))
            sources[i] = op.pointwise("add", [i, part])
            at += width
    q, k, v = (_by_heads(op, each, heads) for each in sources)
    made = attended(op, q, k, v, op.present(5), bool(op.get("unidirectional")))
    return [_together(op, made)]


@shapes("Attention")
def packed_type(op: Op) -> list[TensorType | None] | None:
    """x: N,L,D; w: D,3·D'."""
    if len(op.x().shape) != 3 or op.get("qkv_hidden_sizes"):
        return None
    return [op.x()._replace(shape=(*op.x().shape[:2], op.x(1).shape[-1] // 3))]


@lowers("Attention", domain=MICROSOFT, weights=(1, 2))
def packed(op: Op) -> Made | None:
    """x, w, bias?: the projection to queries, keys and values, then attention.

    With masks, caches or rotated positions: unknown.
    """
    masked = op.present(3, 4, 5) or any(output is not None for output in op.outputs[1:])
    x, w, heads = op.x(), op.x(1).shape, op.get("num_heads")
    if masked or op.get("do_rotary") or w[-1] % 3 or not _split_evenly(heads, w[-1] // 3):
        return None
    n, length, width = x.shape
    bias = op.present(2)
    sizes: Attrs = {"batch": 1, "m": n * length, "k": width, "n": w[-1], "bias": bool(bias)}
    joint = op.step("matmul", sizes, [*bias, 0, 1], x._replace(shape=(n, length, w[-1])))
    each = w[-1] // 3
    parts = []
    for i in range(3):
        part = op.move(joint, (("slice", 2, i * each, each, 1),), x._replace(shape=(n, length, each)))
        parts.append(_by_heads(op, part, heads))
    return [_together(op, attended(op, parts[0], parts[1], parts[2], (), bool(op.get("unidirectional"))))]


# ---- with an activation


@shapes("FusedConv")
def fused_conv_type(op: Op) -> list[TensorType | None] | None:
    """As of a convolution with explicit padding."""
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
def fused_conv(op: Op) -> Made | None:
    """x, w, bias?, addend?; then an activation."""
    attrs, activation = geometry(op, op.x().shape, op.x(1).shape), _ACTIVATIONS.get(op.get("activation", ""))
    if attrs is None or activation is None:
        return None
    made = op.step("conv", attrs, op.present(0, 1, 2))
    if op.has(3):
        made = op.pointwise("add", [made, 3])
    return [op.pointwise(activation, [made])]


@shapes("FusedGemm")
def fused_gemm_type(op: Op) -> list[TensorType | None]:
    """As of Gemm."""
    a, b = op.x().shape, op.x(1).shape
    return [op.x()._replace(shape=(a[1] if op.get("transA") else a[0], b[0] if op.get("transB") else b[1]))]


@lowers("FusedGemm", domain=MICROSOFT, weights=(0, 1, 2))
def fused_gemm(op: Op) -> Made | None:
    """Gemm, then an activation."""
    activation = _ACTIVATIONS.get(op.get("activation", ""))
    return None if activation is None else [op.pointwise(activation, [gemm_steps(op)])]
