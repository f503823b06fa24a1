"""Finds contradictions between the shapes of an op's tensors.

The shape inference of the package onnx misses many of these, and counts from such shapes would be wrong. Each check
yields descriptions that complete the message "node NAME: …; expected sizes that fit".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod

from cnncost.frontends.onnx.lowering.registry import BLOCKED, MICROSOFT, Op
from cnncost.graph import Shape

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
# input positions of weights and biases where they differ from Conv's 1 and 2; -1: the op has no bias
_WEIGHT = {"QLinearConv": 3}
_BIAS = {"QLinearConv": 8, "ConvInteger": -1, "DeformConv": 3}


def contradiction(domain: str, op: Op) -> str:
    """Describe the first contradiction between an op's shapes; empty if no check finds one.

    The types of all inputs and outputs have to be known.
    """
    rule = _RULES.get((domain, op.type))
    return next(rule(op), "") if rule is not None else ""


def input_contradiction(domain: str, op: Op) -> str:
    """Describe the first contradiction between the input shapes of an op with unknown output shapes; empty if none."""
    rule = _INPUT_RULES.get(op.type) if not domain else None
    return next(rule(op), "") if rule is not None else ""


def _text(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "a scalar"


def _convolution(op: Op) -> Iterator[str]:
    at = _WEIGHT.get(op.type, 1)
    x, w, y, groups = op.x().shape, op.x(at).shape, op.y().shape, op.get("group", 1)
    if len(x) != len(w) or len(w) < 3:
        yield f"x of {len(x)} axes ({_text(x)}), and weights of {len(w)} ({_text(w)})"
        return
    channels_in, channels_out = (w[0], w[1] * groups) if op.type == "ConvTranspose" else (w[1] * groups, w[0])
    if x[1] != channels_in:
        yield f"x has {x[1]} channels ({_text(x)}), its weights are for {channels_in} ({_text(w)}, groups: {groups})"
    if w[0] % groups:
        yield f"weights of {_text(w)}, which {groups} groups do not divide"
    if op.get("kernel_shape") and tuple(op.get("kernel_shape")) != w[2:]:
        yield f"kernel_shape is {_text(tuple(op.get('kernel_shape')))}, that of its weights {_text(w[2:])}"
    bias = _BIAS.get(op.type, 2)
    if bias > 0 and op.has(bias) and op.x(bias).shape != (channels_out,):
        yield f"a bias of {_text(op.x(bias).shape)} for {channels_out} channels"
    if min(y[2:]) < 1 <= min(x[2:]):
        yield f"a kernel of {_text(w[2:])} fits nowhere into x ({_text(x)})"


def _pool(op: Op) -> Iterator[str]:
    for name in ("kernel_shape", "strides", "dilations"):
        if min(op.get(name) or [1]) < 1:
            yield f"{name} of {_text(tuple(op.get(name)))}"


def _recurrent(op: Op) -> Iterator[str]:
    x, w, r, gates = op.x().shape, op.x(1).shape, op.x(2).shape, _GATES[op.type]
    if (len(x), len(w), len(r)) != (3, 3, 3):
        yield f"x, weights and recurrent weights of {_text(x)}, {_text(w)} and {_text(r)}, not of three axes each"
        return
    if x[-1] != w[-1]:
        yield f"x has {x[-1]} features ({_text(x)}), its weights are for {w[-1]} ({_text(w)})"
    if w[:2] != r[:2] or r[1] != gates * r[2]:
        yield f"weights of {_text(w)} and recurrent weights of {_text(r)} for {gates} gates"
    directions = 2 if op.get("direction") == "bidirectional" else 1
    if w[0] != directions or op.get("hidden_size", r[2]) != r[2]:
        yield f"weights of {_text(w)} and {_text(r)} for {directions} directions of {op.get('hidden_size', r[2])}"
    if op.has(3) and op.x(3).shape != (w[0], 2 * w[1]):
        yield f"a bias of {_text(op.x(3).shape)}, not {_text((w[0], 2 * w[1]))}"


def _broadcast(op: Op) -> Iterator[str]:
    """Check that the scale or slope can be broadcast to x."""
    x, scale = op.x().shape, op.x(1).shape
    padded = (1,) * (len(x) - len(scale)) + scale
    if len(padded) != len(x) or any(n not in (1, m) for n, m in zip(padded, x, strict=True)):
        yield f"a scale or slope of {_text(scale)} does not broadcast to x ({_text(x)})"


def _channels(op: Op) -> Iterator[str]:
    """Check that there is one scale per channel or, as in GroupNormalization before opset 21, one per group."""
    x, scale = op.x().shape, op.x(1).shape
    if len(x) < 2 or scale not in {(x[1],), (op.get("num_groups"),)}:
        yield f"a scale of {_text(scale)} for x of {_text(x)}"


def _gather(op: Op) -> Iterator[str]:
    x, axis, indices = op.x().shape, op.get("axis", 0), op.constant(1)
    if not -len(x) <= axis < len(x):
        yield f"axis {axis} of x ({_text(x)})"
    elif indices is not None and indices.size and not -x[axis] <= indices.min() <= indices.max() < x[axis]:
        yield f"indices from {indices.min()} to {indices.max()} into axis {axis} of x ({_text(x)})"


def _reshape(op: Op) -> Iterator[str]:
    x, y = op.x().shape, op.y().shape
    if prod(x) != prod(y):
        yield f"{_text(x)}, of {prod(x):,} elements, as {_text(y)}, of {prod(y):,}"


def _attention(op: Op) -> Iterator[str]:
    q, k, v = (op.x(i).shape for i in range(3))
    if not (len(q) == len(k) == len(v)) or q[0] != k[0] or k[0] != v[0] or k[-2] != v[-2]:
        yield f"queries, keys and values of {_text(q)}, {_text(k)} and {_text(v)}"
    elif len(q) == 4 and (q[-1] != k[-1] or k[1] != v[1] or q[1] % max(k[1], 1)):
        yield f"heads of queries, keys and values of {_text(q)}, {_text(k)} and {_text(v)}"
    elif len(q) == 3:
        heads, groups = op.get("q_num_heads") or 0, op.get("kv_num_heads") or 0
        divides = heads and groups and not (heads % groups or q[-1] % heads or k[-1] % groups or v[-1] % groups)
        if not divides or q[-1] // heads != k[-1] // groups:
            yield f"{heads} heads of queries and {groups} of keys for {_text(q)}, {_text(k)} and {_text(v)}"


def _packed_attention(op: Op) -> Iterator[str]:
    x, w = op.x().shape, op.x(1).shape
    if x[-1] != w[0]:
        yield f"x has {x[-1]} features ({_text(x)}), its weights are for {w[0]} ({_text(w)})"


def _multi_head(op: Op) -> Iterator[str]:
    if not op.has(1) or not op.has(2) or len(op.x(1).shape) != len(op.x(2).shape):
        return
    q, k, v = (op.x(i).shape for i in range(3))
    keys_axis = 1 if len(k) == 3 else 2  # N,S,D or N,H,S,E
    if q[0] != k[0] or k[0] != v[0] or k[keys_axis] != v[keys_axis]:
        yield f"queries, keys and values of {_text(q)}, {_text(k)} and {_text(v)}"


def _product(op: Op) -> Iterator[str]:
    """Check that the shapes of two matrices fit. In QGemm, the scale and zero point of `a` are between `a` and `b`."""
    a, b = op.x().shape, op.x(3 if op.type == "QGemm" else 1).shape
    left, right = a[0] if op.get("transA") else a[-1], b[-1] if op.get("transB") else b[0]
    if len(a) != 2 or len(b) != 2 or left != right:
        yield f"a product of {_text(a)} and {_text(b)}"


def _packed_product(op: Op) -> Iterator[str]:
    """Check that weights of shape N,blocks,bytes can hold K elements for each of N outputs."""
    w, n, k, bits = op.x(1).shape, op.get("N"), op.get("K"), op.get("bits", 4)
    if w[:1] != (n,) or prod(w[1:]) * 8 < k * bits:
        yield f"weights of {_text(w)} bytes for {n} outputs of {k} features of {bits} bits each"


def _matmul(op: Op) -> Iterator[str]:
    a, b = op.x().shape, op.x(1).shape
    if not a or not b or a[-1] != b[-2 if len(b) > 1 else 0] or not _broadcasts(a[:-2], b[:-2]):
        yield f"a product of {_text(a)} and {_text(b)}"


def _elementwise(op: Op) -> Iterator[str]:
    shapes = [op.x(i).shape for i in op.present()]
    if not all(_broadcasts(a, b) for i, a in enumerate(shapes) for b in shapes[:i]):
        yield f"{' and '.join(map(_text, shapes))}, which do not broadcast"


def _broadcasts(a: Shape, b: Shape) -> bool:
    """Return True if two shapes can be broadcast: aligned at the last axis, sizes are equal or one of them is 1."""
    return all(m == n or 1 in (m, n) for m, n in zip(a[::-1], b[::-1], strict=False))


def _concatenated(op: Op) -> Iterator[str]:
    shapes = [op.x(i).shape for i in op.present()]
    rank, axis = len(shapes[0]), op.get("axis", 1)
    if not -rank <= axis < rank or any(
        len(s) != rank or any(m != n for i, (m, n) in enumerate(zip(s, shapes[0], strict=True)) if i != axis % rank)
        for s in shapes
    ):
        yield f"{' and '.join(map(_text, shapes))} along axis {axis}"


def _skip(op: Op) -> Iterator[str]:
    x, skip, scale = op.x().shape, op.x(1).shape, op.x(2).shape
    if skip[-1:] != x[-1:] or scale != x[-1:]:
        yield f"x of {_text(x)}, a skip of {_text(skip)} and a scale of {_text(scale)}"


_RULES: dict[tuple[str, str], Callable[[Op], Iterator[str]]] = {
    **{("", name): _convolution for name in ("Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "DeformConv")},
    **{("", name): _recurrent for name in _GATES},
    **{("", name): _pool for name in ("MaxPool", "AveragePool", "LpPool")},
    **{("", name): _broadcast for name in ("PRelu", "LayerNormalization", "RMSNormalization")},
    **{("", name): _channels for name in ("InstanceNormalization", "GroupNormalization")},
    **{("", name): _reshape for name in ("Reshape", "DepthToSpace", "SpaceToDepth")},
    ("", "Attention"): _attention, ("", "Gemm"): _product, ("", "Gather"): _gather,
    (BLOCKED, "Conv"): _convolution, (MICROSOFT, "FusedConv"): _convolution,
    (MICROSOFT, "FusedGemm"): _product, (MICROSOFT, "QGemm"): _product,
    (MICROSOFT, "Attention"): _packed_attention, (MICROSOFT, "MultiHeadAttention"): _multi_head,
    (MICROSOFT, "MatMulNBits"): _packed_product, (MICROSOFT, "SkipLayerNormalization"): _skip,
    (MICROSOFT, "SkipSimplifiedLayerNormalization"): _skip,
}  # fmt: skip
_INPUT_RULES: dict[str, Callable[[Op], Iterator[str]]] = {
    "MatMul": _matmul, "Gemm": _product, "Concat": _concatenated, "MaxPool": _pool, "AveragePool": _pool,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Where", "Max", "Min", "Equal", "Greater", "Less", "And", "Or",
                     "Xor", "Mod", "GreaterOrEqual", "LessOrEqual"), _elementwise),
}  # fmt: skip
