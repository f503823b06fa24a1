"""Predicts torch's `FlopCounterMode` for an op. Source: torch/utils/flop_counter.py.

The counter sees decomposed ops. It counts two per multiply-accumulate of convolutions, `mm`, `addmm`, `bmm`,
`baddbmm`, `_scaled_mm` and fused attention, and nothing for all others. On meta tensors, attention and recurrent layers
decompose into these ops, too.
"""

from __future__ import annotations

from collections.abc import Mapping

from cnncost.graph import Node
from cnncost.verify.account import Expected
from cnncost.verify.nodes import flops, macs, op_name

CONVOLUTIONS = "convolutions"
PRODUCTS = "matrix products"
_CONVOLUTIONS = frozenset({
    "convolution", "_convolution", "cudnn_convolution", "convolution_overrideable", "_slow_conv2d_forward",
})  # fmt: skip
_PRODUCTS = frozenset({
    "mm", "addmm", "bmm", "baddbmm", "_scaled_mm", "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_flash_attention", "_scaled_dot_product_cudnn_attention",
})  # fmt: skip
_DECOMPOSED = frozenset({"linear", "matmul", "scaled_dot_product_attention", "lstm", "gru", "rnn_tanh", "rnn_relu"})

NO_FORMULA = "no formula for this kind of op: counts as 0"
INTEGERS = "2 per MAC of integers, too, whose MACs are no FLOPs"
VECTOR = "a product with a vector counts where torch runs it as mm or bmm, and as 0 where it runs mv or dot"
_COUNTED = {
    "conv": "2 per MAC; bias additions are left out",
    "linear": "2 per MAC; bias additions are left out",
    "matmul": "2 per MAC; the addend is left out",
    "attention": "2 per MAC of both products; scaling, mask and softmax are left out",
    "recurrent": "2 per MAC, because its steps decompose into addmm; gates and biases are left out",
}


def family(op: str) -> str:
    """Return the group in which an op's count is compared, because strides and bias decide if `mm` or `addmm` runs."""
    name = op.removeprefix("aten.")
    if name in _CONVOLUTIONS:
        return CONVOLUTIONS
    return PRODUCTS if name in _PRODUCTS else op


def families(by_op: Mapping[str, int]) -> dict[str, int]:
    """Return the counter's counts, summed by group."""
    groups: dict[str, int] = {}
    for op, amount in by_op.items():
        groups[family(op)] = groups.get(family(op), 0) + amount
    return groups


def expected(node: Node) -> Expected:
    """Return the counter's predicted count for a node that is not a vector product.

    Vector products are predicted as one sum (`torch_counter`), from the ops that ran.
    """
    kind, name, products = node.spec.kind, op_name(node), macs(node)
    if not products:
        return Expected("", 0, NO_FORMULA)
    if kind == "conv":
        return Expected(CONVOLUTIONS, 2 * products, _COUNTED["conv"] if flops(node) else INTEGERS)
    if kind in _COUNTED and (name in _DECOMPOSED or name in _PRODUCTS):
        return Expected(PRODUCTS, 2 * products, _COUNTED[kind] if flops(node) else INTEGERS)
    return Expected("", 0, f"no formula for {_uncounted_name(name)}: counts as 0")


def _uncounted_name(name: str) -> str:
    """Return the name of the op that has no formula; `bilinear` decomposes into another op."""
    return "aten._trilinear, into which it decomposes" if name == "bilinear" else f"aten.{name}"


def is_vector_product(node: Node) -> bool:
    """Return whether a node is a matmul with a vector operand; its strides decide whether it runs as `mv`."""
    return op_name(node) == "matmul" and any(len(t.shape) == 1 for t in node.spec.inputs[:2])
