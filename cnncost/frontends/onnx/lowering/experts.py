"""Mixtures of experts of com.microsoft: each token is routed to k of E experts; the cost does not depend on which."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from cnncost.frontends.onnx.lowering.registry import MICROSOFT, Op, Outputs, Ref, Source, lowers, shapes
from cnncost.graph import Shape
from cnncost.tensor_types import TensorType

# elementwise functions by `activation_type`
_PLAIN = {"relu": ("relu",), "gelu": ("gelu",), "silu": ("silu",), "identity": (), "relu2": ("relu", "square")}
_GATED = frozenset({"swiglu", "geglu"})
_QUANTIZED_NOTE = "QMoE: all experts' weights are counted as dequantized; a kernel may skip those without tokens"
_FLOAT_SCALES = range(15, 21)
"""Input positions of QMoE's scales for weights and activations in float formats, which no rule covers."""


class Projection(NamedTuple):
    """Matrices of all experts.

    Attributes:
        weight: where the weights E,N,K come from: an input, or the step that dequantizes one.
        bias: input position of the biases E,N; None if there are none.
        rows, columns: N and K.
    """

    weight: Source
    bias: int | None
    rows: int
    columns: int


@shapes("MoE", "QMoE")
def same_type(op: Op) -> list[TensorType | None]:
    """y: the type of the tokens."""
    return [op.x()]


@lowers("MoE", domain=MICROSOFT, weights=(2, 3, 4, 5, 6, 7))
def experts(op: Op) -> Outputs | None:
    """x: T,H or N,L,H; router: T,E; weights and biases of the first, second and third projection.

    Softmax is over all experts, as in ONNX Runtime's kernel for CPUs.
    """
    router = op.x(1)
    projections = [_projection(op, at, router.shape[-1]) for at in (2, 4, 6)]
    chosen: TensorType = router._replace(shape=(router.shape[0], op.get("k", 1)))
    scores = op.step("softmax", {"fn": "softmax", "axis": 1}, [1], router)
    top = op.step("sort", {"unique": False, "axis": 1}, [scores], chosen)
    if op.get("normalize_routing_weights"):
        one = router._replace(shape=(router.shape[0], 1))
        total = op.step("reduce", {"fn": "sum", "dim": (1,), "keepdim": True}, [top], one)
        top = op.pointwise("div", [top, total])
    return _mixture(op, projections, top)


def _projection(op: Op, at: int, experts: int) -> Projection | None:
    """Return the projection whose weights are input `at`; None if there are none, or they don't fit.

    Older files store E,K,N instead of E,N,K. Both are accepted: one of the two sizes must be H, and `at` says which of
    N and K that is: the second projection (`at` 4) returns H features, the others read them.
    """
    if not op.has(at):
        return None
    shape, hidden = op.x(at).shape, op.x().shape[-1]
    if len(shape) != 3 or shape[0] != experts or hidden not in shape[1:]:
        return None
    other = prod(shape[1:]) // hidden
    rows, columns = (hidden, other) if at == 4 else (other, hidden)
    return Projection(at, at + 1 if op.has(at + 1) else None, rows, columns)


@lowers("QMoE", domain=MICROSOFT, weights=tuple(range(2, 14)))
def quantized_experts(op: Op) -> Outputs | None:
    """x, router; weights, scales and bias of each projection; optional: zero points, weights for the mixture.

    Dequantizing a weight of 4 or 8 bits is one FLOP. Softmax is over the chosen experts only, as in ONNX Runtime's
    kernel for CPUs; weights for the mixture, if given, are gathered instead.
    """
    router = op.x(1)
    if op.get("quant_type", "int") != "int" or op.present(*_FLOAT_SCALES):
        return None
    projections = [_dequantized(op, i, router.shape[-1]) for i in range(3)]
    chosen: TensorType = router._replace(shape=(router.shape[0], op.get("k", 1)))
    top = op.step("sort", {"unique": False, "axis": 1}, [1], chosen)
    if op.has(14):
        top = op.step("gather", {"fn": "gather", "dim": 1}, [14], chosen)
    else:
        top = op.step("softmax", {"fn": "softmax", "axis": 1}, [top], chosen)
    op.notes.append(_QUANTIZED_NOTE)
    if any(op.has(2 + 3 * i) and _bits(op, i) < 8 for i in range(3)):
        op.notes.append("QMoE: parameters are counted in packed bytes, each of which holds more than one weight")
    return _mixture(op, projections, top)


def _bits(op: Op, i: int) -> int:
    return int(op.get(f"fc{i + 1}_expert_weight_bits", op.get("expert_weight_bits", 4)))


def _dequantized(op: Op, i: int, experts: int) -> Projection | None:
    """Dequantize the weights of projection `i`, packed along K; None if there are none, or they don't fit."""
    at = 2 + 3 * i
    bits = _bits(op, i)
    if not op.has(at) or bits not in {4, 8} or len(op.x(at).shape) != 3 or op.x(at).shape[0] != experts:
        return None
    _, rows, packed = op.x(at).shape
    columns = packed * 8 // bits
    to = TensorType((experts, rows, columns), op.x().dtype)
    weight = op.step("quantize", {"fn": "dequantize"}, op.present(at, at + 1, 11 + i), to)
    return Projection(weight, at + 2 if op.has(at + 2) else None, rows, columns)


def _mixture(op: Op, projections: list[Projection | None], top: Ref) -> Outputs | None:
    """Run the experts on their tokens and sum the results, weighted by `top`: T,k. None for settings without a rule."""
    first, second, third = projections
    x, tokens, k = op.x(), prod(op.x().shape[:-1]), op.get("k", 1)
    fn, fused = op.get("activation_type", "relu"), op.get("swiglu_fusion", 0)
    if first is None or second is None or op.get("use_sparse_mixer") or (third is None and op.has(_third_position(op))):
        return None  # a projection's weights are missing or don't fit, or experts are chosen in another way
    if op.x(1).shape[0] != tokens or fn not in {*_PLAIN, *_GATED} or op.get("swiglu_limit_after_activation"):
        return None  # the router has another number of tokens, or the activation has no rule
    gated = fn in _GATED or third is not None
    inner = first.rows if third is not None or not gated else first.rows // 2
    if (first.columns, second.rows, second.columns) != (x.shape[-1], x.shape[-1], inner):
        return None  # the two projections' sizes don't fit together
    if third is not None and (fn == "geglu" or fused or (third.rows, third.columns) != (inner, x.shape[-1])):
        return None  # its sizes don't fit, or the first projection computes both parts (fused), as for GEGLU
    if third is None and gated and not fused:
        return None  # the linear part is missing
    rows = tokens * k
    flat = op.reshaped(0, (tokens, x.shape[-1]))
    routed = op.step("gather", {"fn": "other"}, [flat], x._replace(shape=(rows, x.shape[-1])))
    result: Source = _product(op, routed, first, rows)
    if gated:
        result = _gate(op, result, None if third is None else _product(op, routed, third, rows), (rows, inner), fn)
    else:
        for name in _PLAIN[fn]:
            result = op.pointwise(name, [result])
    result = _product(op, result, second, rows)
    result = op.pointwise("mul", [result, op.reshaped(top, (rows, 1))])
    if k > 1:
        by_token = op.reshaped(result, (tokens, k, x.shape[-1]))
        result = op.step("reduce", {"fn": "sum", "dim": (1,), "keepdim": False}, [by_token],
                       x._replace(shape=(tokens, x.shape[-1])))  # fmt: skip
    return [op.reshaped(result, x.shape)]


def _third_position(op: Op) -> int:
    """Return the input position of the third projection's weights."""
    return 8 if op.type == "QMoE" else 6


def _product(op: Op, x: Source, matrices: Projection, rows: int) -> Ref:
    """Multiply each row by the matrix of its own expert."""
    attrs = {"rows": rows, "k": matrices.columns, "n": matrices.rows, "bias": matrices.bias is not None}
    read = [x, matrices.weight, *([] if matrices.bias is None else [matrices.bias])]
    return op.step("grouped_matmul", dict(attrs), read, op.type_of(x)._replace(shape=(rows, matrices.rows)))


def _gate(op: Op, first: Source, third: Source | None, shape: Shape, fn: str) -> Ref:
    """Compute f(g)·l, or for SwiGLU g·sigmoid(α·g)·(l + β), with g and l clamped first if there is a limit.

    The gate g and the linear part l are two products, or the halves of one. α, β and the limit are constants, and so
    not inputs of the appended ops. The silu is one op if α is 1, and β is only added if it is not 0.
    """
    gate, linear = first, third
    if linear is None:
        half = op.type_of(first)._replace(shape=shape)
        gate, linear = op.move(first, None, half), op.move(first, None, half)
    alpha, beta = op.get("activation_alpha", 1.0), op.get("activation_beta", 0.0)
    name = {"swiglu": "silu", "geglu": "gelu_tanh"}.get(fn)
    if name != "silu":
        steps = _PLAIN[fn] if name is None else (name,)
        for each in steps:
            gate = op.pointwise(each, [gate])
        return op.pointwise("mul", [gate, linear])
    if op.get("swiglu_limit") is not None:
        gate, linear = op.pointwise("clamp_max", [gate]), op.pointwise("clamp", [linear])
    if alpha == 1.0:
        gate = op.pointwise("silu", [gate])
    else:
        gate = op.pointwise("mul", [gate, op.pointwise("sigmoid", [op.pointwise("mul", [gate])])])
    if beta:
        linear = op.pointwise("add", [linear])
    return op.pointwise("mul", [gate, linear])
