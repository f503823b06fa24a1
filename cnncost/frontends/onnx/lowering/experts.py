"""Mixtures of experts of com.microsoft: each token is routed to k of E experts; the cost does not depend on which."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from cnncost.frontends.onnx.lowering.registry import MICROSOFT, Made, Op, Ref, Source, lowers, shapes
from cnncost.graph import Shape
from cnncost.tensor_types import TensorType

_PLAIN = {"relu": ("relu",), "gelu": ("gelu",), "silu": ("silu",), "identity": (), "relu2": ("relu", "square")}
_GATED = frozenset({"swiglu", "geglu"})
QUANTIZED = "QMoE: the weights of all experts are counted as dequantized; those that no token goes to need not be"


class Projection(NamedTuple):
    """Matrices of all experts.

    Attributes:
        weight: E,N,K.
        bias: E,N; None without.
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
def experts(op: Op) -> Made | None:
    """x: T,H or N,L,H; router: T,E; weights and biases of the first, second and third projection.

    Softmax over all experts, as ONNX Runtime's kernel for CPUs has it.
    """
    router = op.x(1)
    found = [_projection(op, at, router.shape[-1]) for at in (2, 4, 6)]
    chosen: TensorType = router._replace(shape=(router.shape[0], op.get("k", 1)))
    scores = op.step("softmax", {"fn": "softmax", "axis": 1}, [1], router)
    best = op.step("sort", {"unique": False, "axis": 1}, [scores], chosen)
    if op.get("normalize_routing_weights"):
        one = router._replace(shape=(router.shape[0], 1))
        total = op.step("reduce", {"fn": "sum", "dim": (1,), "keepdim": True}, [best], one)
        best = op.pointwise("div", [best, total])
    return _mixed(op, found, best)


def _projection(op: Op, at: int, experts: int) -> Projection | None:
    """Return weights E,N,K, or E,K,N as in older files; where x has K features, only the product of sizes matters."""
    if not op.has(at):
        return None
    shape, hidden = op.x(at).shape, op.x().shape[-1]
    if len(shape) != 3 or shape[0] != experts or hidden not in shape[1:]:
        return None
    other = prod(shape[1:]) // hidden
    rows, columns = (hidden, other) if at == 4 else (other, hidden)
    return Projection(at, at + 1 if op.has(at + 1) else None, rows, columns)


@lowers("QMoE", domain=MICROSOFT, weights=tuple(range(2, 14)))
def quantized_experts(op: Op) -> Made | None:
    """x, router; weights, scales and bias of each projection; zero points; weights for the mixture?.

    Weights of 4 or 8 bits are dequantized by one FLOP each. Softmax over the chosen experts alone, as ONNX Runtime's
    kernel for CPUs has it; given weights for the mixture are picked instead.
    """
    router = op.x(1)
    if op.get("quant_type", "int") != "int" or op.present(15, 16, 17, 18, 19, 20):
        return None
    found = [_dequantized(op, i, router.shape[-1]) for i in range(3)]
    chosen: TensorType = router._replace(shape=(router.shape[0], op.get("k", 1)))
    best = op.step("sort", {"unique": False, "axis": 1}, [1], chosen)
    if op.has(14):
        best = op.step("gather", {"fn": "gather", "dim": 1}, [14], chosen)
    else:
        best = op.step("softmax", {"fn": "softmax", "axis": 1}, [best], chosen)
    op.notes.append(QUANTIZED)
    if any(op.has(2 + 3 * i) and _bits(op, i) < 8 for i in range(3)):
        op.notes.append("QMoE: parameters are the bytes that its weights are packed in, not the weights")
    return _mixed(op, found, best)


def _bits(op: Op, i: int) -> int:
    return int(op.get(f"fc{i + 1}_expert_weight_bits", op.get("expert_weight_bits", 4)))


def _dequantized(op: Op, i: int, experts: int) -> Projection | None:
    at = 2 + 3 * i
    bits = _bits(op, i)
    if not op.has(at) or bits not in {4, 8} or len(op.x(at).shape) != 3 or op.x(at).shape[0] != experts:
        return None
    _, rows, packed = op.x(at).shape
    columns = packed * 8 // bits
    to = TensorType((experts, rows, columns), op.x().dtype)
    weight = op.step("quantize", {"fn": "dequantize"}, op.present(at, at + 1, 11 + i), to)
    return Projection(weight, at + 2 if op.has(at + 2) else None, rows, columns)


def _mixed(op: Op, found: list[Projection | None], best: Ref) -> Made | None:
    """Run the experts on their tokens and sum the results, weighted by `best`: T,k."""
    first, second, third = found
    x, tokens, chosen = op.x(), prod(op.x().shape[:-1]), op.get("k", 1)
    fn, fused = op.get("activation_type", "relu"), op.get("swiglu_fusion", 0)
    if first is None or second is None or op.get("use_sparse_mixer") or (third is None and op.has(_third(op))):
        return None
    if op.x(1).shape[0] != tokens or fn not in {*_PLAIN, *_GATED} or op.get("swiglu_limit_after_activation"):
        return None
    gated = fn in _GATED or third is not None
    inner = first.rows if third is not None or not gated else first.rows // 2
    if (first.columns, second.rows, second.columns) != (x.shape[-1], x.shape[-1], inner):
        return None
    if third is not None and (fn == "geglu" or fused or (third.rows, third.columns) != (inner, x.shape[-1])):
        return None
    if third is None and gated and not fused:
        return None
    rows = tokens * chosen
    flat = op.reshaped(0, (tokens, x.shape[-1]))
    sent = op.step("gather", {"fn": "other"}, [flat], x._replace(shape=(rows, x.shape[-1])))
    made: Source = _product(op, sent, first, rows)
    if gated:
        made = _gate(op, made, None if third is None else _product(op, sent, third, rows), (rows, inner), fn)
    else:
        for name in _PLAIN[fn]:
            made = op.pointwise(name, [made])
    made = _product(op, made, second, rows)
    made = op.pointwise("mul", [made, op.reshaped(best, (rows, 1))])
    if chosen > 1:
        apart = op.reshaped(made, (tokens, chosen, x.shape[-1]))
        made = op.step("reduce", {"fn": "sum", "dim": (1,), "keepdim": False}, [apart],
                       x._replace(shape=(tokens, x.shape[-1])))  # fmt: skip
    return [op.reshaped(made, x.shape)]


def _third(op: Op) -> int:
    return 8 if op.type == "QMoE" else 6


def _product(op: Op, x: Source, matrices: Projection, rows: int) -> Ref:
    """Multiply each row by the matrix of its own expert."""
    attrs = {"rows": rows, "k": matrices.columns, "n": matrices.rows, "bias": matrices.bias is not None}
    read = [x, matrices.weight, *([] if matrices.bias is None else [matrices.bias])]
    return op.step("grouped_matmul", dict(attrs), read, op.type_of(x)._replace(shape=(rows, matrices.rows)))


def _gate(op: Op, first: Source, third: Source | None, shape: Shape, fn: str) -> Ref:
    """Compute f(g)·(l + β); g and l are two products, or the halves of one, both clamped if there is a limit."""
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
