"""Attention ops of ONNX and ONNX Runtime, with their projections, biases, masks, caches and rotary embeddings.

With a cache, new keys and values are appended to the past ones, and receptive fields beyond the op are unknown.
"""

from __future__ import annotations

from math import prod
from typing import Any

from cnncost.frontends.onnx.lowering.registry import MICROSOFT, Attrs, Op, Outputs, Ref, Source, lowers, shapes
from cnncost.tensor_types import TensorType


def attention_step(
    op: Op, q: Source, k: Source, v: Source, mask: tuple[Source, ...], causal: bool, keys: int | None = None
) -> Ref:
    """Append attention of q: N,H,L,E; k: N,G,S,E; v: N,G,S,V; the H heads of q share the G heads of k and v in groups.

    `keys` is the number of keys that are read, if k is a cache's buffer and S may be larger.
    """
    a, b, c = (op.type_of(each).shape for each in (q, k, v))
    heads, keys = a[:2], b[-2] if keys is None else keys
    attrs: Attrs = {
        "batch": prod(heads), "value_batch": prod(heads), "queries": a[-2], "keys": keys, "width": a[-1],
        "value_width": c[-1], "scaled": prod(a) + prod(heads) * keys * b[-1], "mask": bool(mask) or causal,
        "causal": causal,
    }  # fmt: skip
    to = op.type_of(q)._replace(shape=(*heads, a[-2], c[-1]))
    return op.step("attention", attrs, [q, k, v, *mask], to)


def _split_heads(op: Op, source: Source, heads: int) -> Source:
    """Split heads: N,L,H·E to N,H,L,E."""
    n, length, width = op.type_of(source).shape
    split = op.reshaped(source, (n, length, heads, width // heads))
    return op.permuted(split, (0, 2, 1, 3), copy=False)


def _heads_divide(heads: Any, *widths: int) -> bool:
    """Return True if the number of heads is given and divides all widths."""
    return bool(heads) and all(width % heads == 0 for width in widths)


def _merge_heads(op: Op, source: Source) -> Source:
    """Join heads: N,H,L,V to N,L,H·V."""
    n, heads, length, width = op.type_of(source).shape
    return op.reshaped(op.permuted(source, (0, 2, 1, 3)), (n, length, heads * width))


@lowers("Attention")
def attention(op: Op) -> Outputs | None:
    """Q, K, V with four axes, or with three and the numbers of heads as attributes; mask?.

    With a cache, a soft cap, a softmax precision or further outputs, the op's ONNX definition is inlined instead.
    """
    plain = not op.has(4) and not op.has(5) and not op.has(6) and not op.get("softcap")
    if not plain or any(output is not None for output in op.outputs[1:]) or op.get("softmax_precision"):
        return None
    sources: list[Source] = [0, 1, 2]
    flat = len(op.x().shape) == 3
    if flat:
        groups = op.get("kv_num_heads")
        sources = [_split_heads(op, i, n) for i, n in ((0, op.get("q_num_heads")), (1, groups), (2, groups))]
    q, k, v = sources
    result = attention_step(op, q, k, v, op.present(3), bool(op.get("is_causal")))
    return [_merge_heads(op, result) if flat else result]


# ---- caches and rotary embeddings


def _append(op: Op, past: Source | None, new: Source, to: TensorType) -> Source:
    """Concatenate past and new keys or values along axis 2."""
    return new if past is None else op.step("layout", {"copy": True, "moves": None}, (past, new), to)


def _rotate(op: Op, x: Source) -> Ref:
    """Rotate pairs of features by an angle: two multiplications and an addition per feature."""
    return op.pointwise("add", [op.pointwise("mul", [x]), op.pointwise("mul", [x])])


@shapes("RotaryEmbedding")
def rotary_type(op: Op) -> list[TensorType | None]:
    """The type of x."""
    return [op.x()]


@lowers("RotaryEmbedding", domain=MICROSOFT)
def rotary(op: Op) -> Outputs | None:
    """x, positions, cosines, sines. Unknown if only some of the features are rotated."""
    return None if op.get("rotary_embedding_dim") else [_rotate(op, 0)]


# ---- MultiHeadAttention


def _qkv_sizes(op: Op) -> tuple[tuple[int, int, int, int], int, int] | None:
    """Return the sizes N,H,L,E of the queries, the number of new keys, and the width of the values per head.

    None for input layouts that no rule covers.
    """
    heads, x = op.get("num_heads"), op.x().shape
    if not heads:
        return None
    if len(x) == 5:  # N,L,H,3,E
        alone = x[2:4] == (heads, 3) and not op.present(1, 2)
        return ((x[0], heads, x[1], x[4]), x[1], x[4]) if alone and not op.has(3) else None
    if len(x) != 3 or not op.has(1) or x[-1] % heads:
        return None
    sizes, k = (x[0], heads, x[1], x[-1] // heads), op.x(1).shape
    if len(k) == 5:  # N,S,H,2,E
        return (sizes, k[1], k[4]) if k[2:] == (heads, 2, sizes[3]) and not op.present(2, 3) else None
    if not op.has(2) or len(op.x(2).shape) != len(k):
        return None
    v = op.x(2).shape
    if len(k) == 4:  # N,H,S,E: keys and values of another sequence, already projected
        return (sizes, k[2], v[3]) if (k[1], k[3]) == (heads, sizes[3]) and not op.has(3) else None
    return (sizes, k[1], v[-1] // heads) if k[-1] == x[-1] and v[-1] % heads == 0 else None


def _past_length(op: Op, at: int) -> int:
    """Return the number of past keys in input `at`: N,H,S,E."""
    return op.x(at).shape[2] if op.has(at) else 0


@shapes("MultiHeadAttention")
def multi_head_type(op: Op) -> list[TensorType | None] | None:
    """query: N,L,D; value: N,S,V; keys and values with the past ones: N,H,S,E."""
    found = _qkv_sizes(op)
    if found is None or op.has(6) != op.has(7):
        return None
    (n, heads, length, width), keys, value_width = found
    keys += _past_length(op, 6)
    sizes = ((n, length, heads * value_width), (n, heads, keys, width), (n, heads, keys, value_width))
    return [op.x()._replace(shape=shape) for shape in (*sizes, (n, heads, length, keys))]


@lowers("MultiHeadAttention", domain=MICROSOFT, weights=(3,))
def multi_head(op: Op) -> Outputs | None:
    """query, key, value; bias? for all three; key mask or additive bias?; past?. The op itself has no projections."""
    found = _qkv_sizes(op)
    if found is None or op.present(8, 9) or len(op.present(4, 5)) > 1 or any(op.outputs[3:]):
        return None
    (n, heads, _, width), keys, value_width = found
    q, k, v = _split_qkv(op, heads)
    total = keys + _past_length(op, 6)
    k = _append(op, 6 if op.has(6) else None, k, op.x()._replace(shape=(n, heads, total, width)))
    v = _append(op, 7 if op.has(7) else None, v, op.x()._replace(shape=(n, heads, total, value_width)))
    result = attention_step(op, q, k, v, op.present(4, 5), bool(op.get("unidirectional")))
    results: Outputs = [_merge_heads(op, result), k, v]
    return [each if t is not None else None for each, t in zip(results, op.outputs, strict=False)]


def _split_qkv(op: Op, heads: int) -> list[Source]:
    """Return queries, keys and values as N,H,L,E, with their biases added."""
    x = op.x().shape
    if len(x) == 5:
        return [_select_packed(op, 0, i) for i in range(3)]
    if len(op.x(1).shape) == 5:
        return [_split_heads(op, 0, heads), *(_select_packed(op, 1, i) for i in range(2))]
    sources: list[Source] = [0, 1, 2]
    at = 0
    for i in range(3) if op.has(3) else ():
        width = op.x(i).shape[-1]
        part = op.move(3, (("slice", 0, at, width, 1),), op.x(3)._replace(shape=(width,)))
        sources[i] = op.pointwise("add", [i, part])
        at += width
    return [each if len(op.type_of(each).shape) == 4 else _split_heads(op, each, heads) for each in sources]


def _select_packed(op: Op, source: Source, index: int) -> Source:
    """Select queries, keys or values from the packed N,L,H,k,E; returns N,H,L,E."""
    n, length, heads, _, width = op.type_of(source).shape
    part = op.move(source, (("select", 3, index),), op.type_of(source)._replace(shape=(n, length, heads, width)))
    return op.permuted(part, (0, 2, 1, 3), copy=False)


# ---- Attention with its projection


def _qkv_widths(op: Op) -> tuple[int, int, int] | None:
    """Return the widths of queries, keys and values; None if weights and heads don't fit."""
    joint, heads = op.x(1).shape[-1], op.get("num_heads")
    given = op.get("qkv_hidden_sizes") or [joint // 3] * 3
    fits = heads and len(given) == 3 and sum(given) == joint and given[0] == given[1]
    return tuple(given) if fits and _heads_divide(heads, *given) else None


@shapes("Attention")
def packed_type(op: Op) -> list[TensorType | None] | None:
    """x: N,L,D; w: D,Q+K+V; keys and values with the past ones: 2,N,H,S,E."""
    widths = _qkv_widths(op)
    if len(op.x().shape) != 3 or widths is None:
        return None
    n, length, _ = op.x().shape
    keys = length + (op.x(4).shape[3] if op.has(4) else 0)
    heads = op.get("num_heads")
    y = op.x()._replace(shape=(n, length, widths[2]))
    if widths[0] != widths[2]:  # keys and values of different widths can't be stacked
        return [y, None]
    return [y, op.x()._replace(shape=(2, n, heads, keys, widths[0] // heads))]


@lowers("Attention", domain=MICROSOFT, weights=(1, 2))
def packed(op: Op) -> Outputs | None:
    """x, w, bias?, mask or additive bias?, past?: a projection to queries, keys and values, then attention.

    Unknown with a mask and an additive bias, a buffer shared by past and present, or a partial rotary embedding.
    """
    widths = _qkv_widths(op)
    if widths is None or op.has(6) or op.get("past_present_share_buffer") or len(op.present(3, 5)) > 1:
        return None
    if op.get("do_rotary") and op.get("rotary_embedding_dim"):
        return None
    x, w, heads = op.x(), op.x(1).shape, op.get("num_heads")
    n, length, width = x.shape
    bias = op.present(2)
    sizes: Attrs = {"batch": 1, "m": n * length, "k": width, "n": w[-1], "bias": bool(bias)}
    joint = op.step("matmul", sizes, [*bias, 0, 1], x._replace(shape=(n, length, w[-1])))
    parts: list[Source] = []
    at = 0
    for i, each in enumerate(widths):
        part: Source = op.move(joint, (("slice", 2, at, each, 1),), x._replace(shape=(n, length, each)))
        at += each
        part = _rotate(op, part) if op.get("do_rotary") and i < 2 else part
        parts.append(_split_heads(op, part, heads))
    q, k, v = parts
    if op.has(4):
        past = op.x(4).shape
        keys = x._replace(shape=(*past[1:3], past[3] + length, past[4]))
        k, v = (_append(op, _select_past(op, i), each, keys) for i, each in enumerate((k, v)))
    result: Outputs = [_merge_heads(op, attention_step(op, q, k, v, op.present(3, 5), bool(op.get("unidirectional"))))]
    if len(op.outputs) > 1 and op.outputs[1] is not None:
        result.append(op.step("layout", {"copy": True, "moves": None}, (k, v), op.y(1)))
    return result


def _select_past(op: Op, index: int) -> Source:
    """Select past keys (index 0) or values (1) from 2,N,H,S,E."""
    past = op.x(4)
    return op.move(4, (("select", 0, index),), past._replace(shape=past.shape[1:]))


# ---- GroupQueryAttention


def _grouped_sizes(op: Op) -> tuple[int, int, int, int, int] | None:
    """Return the numbers of queries, of all keys and of positions in the cache, the width E, the number of new keys.

    None if the total length is not a constant, or sizes and heads don't fit.
    """
    heads, groups, x, total = op.get("num_heads"), op.get("kv_num_heads"), op.x().shape, op.constant(6)
    if not heads or not groups or len(x) != 3 or total is None or total.size != 1 or op.has(1) != op.has(2):
        return None
    heads_in_x = heads if op.has(1) else heads + 2 * groups
    if x[-1] % heads_in_x or heads % groups:
        return None
    keys = int(total.reshape(-1)[0])
    past = op.x(3).shape[2] if op.has(3) else 0
    return x[1], keys, max(past, keys), x[-1] // heads_in_x, op.x(1).shape[1] if op.has(1) else x[1]


@shapes("GroupQueryAttention")
def grouped_type(op: Op) -> list[TensorType | None] | None:
    """query: N,L,H·E, or packed with keys and values; the cache, past included: N,G,S,E."""
    found = _grouped_sizes(op)
    if found is None:
        return None
    _, _, room, width, _ = found
    cache = op.x()._replace(shape=(op.x().shape[0], op.get("kv_num_heads"), room, width))
    return [op.x()._replace(shape=(*op.x().shape[:2], op.get("num_heads") * width)), cache, cache]


@lowers("GroupQueryAttention", domain=MICROSOFT)
def grouped(op: Op) -> Outputs | None:
    """query, key?, value?, past?, …: each group of query heads shares one head of keys and values; causal.

    All keys count, regardless of a local window and of the lengths of individual sequences. Unknown with a soft cap,
    attention sinks, norms, further outputs, or a cache that is quantized or a sliding window.
    """
    found = _grouped_sizes(op)
    settings = ("softcap", "smooth_softmax", "kv_cache_bit_width", "qk_output", "sliding_window_cache")
    if found is None or op.present(11, 12, 13, 14, 15, 16) or any(op.get(name) for name in settings):
        return None
    if any(op.get(name, "NONE") != "NONE" for name in ("k_quant_type", "v_quant_type")) or any(op.outputs[3:]):
        return None
    length, keys, room, width, new = found
    heads, groups, x = op.get("num_heads"), op.get("kv_num_heads"), op.x()
    sources: list[Source] = [0, 1, 2]
    at = 0
    for i, each in enumerate((heads, groups, groups) if not op.has(1) else ()):
        to = x._replace(shape=(x.shape[0], length, each * width))
        sources[i] = op.move(0, (("slice", 2, at, each * width, 1),), to)
        at += each * width
    if op.get("do_rotary"):
        sources[:2] = [_rotate(op, each) for each in sources[:2]]
    q, k, v = (_split_heads(op, each, n) for each, n in zip(sources, (heads, groups, groups), strict=True))
    if op.has(3) or room != new:
        cache = x._replace(shape=(x.shape[0], groups, room, width))
        past = (3, 4) if op.has(3) else (None, None)
        k, v = (_fill_cache(op, p, each, cache) for p, each in zip(past, (k, v), strict=True))
    op.notes.append("GroupQueryAttention: all keys are counted, whatever the lengths of individual sequences")
    results: Outputs = [_merge_heads(op, attention_step(op, q, k, v, op.present(10), True, keys)), k, v]
    return [each if t is not None else None for each, t in zip(results, op.outputs, strict=False)]


def _fill_cache(op: Op, past: Source | None, new: Source, to: TensorType) -> Source:
    """Copy past and new keys or values into the cache's buffer, which may be larger than the two together."""
    return op.step("layout", {"copy": True, "moves": None}, (new,) if past is None else (past, new), to)
