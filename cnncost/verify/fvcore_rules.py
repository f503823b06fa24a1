"""Predicts fvcore's `FlopCountAnalysis` for an op. Source: fvcore/nn/jit_handles.py and flop_count.py.

fvcore counts one per multiply-accumulate of the products it knows, a few per element of norms, resizing and adaptive
pooling, and nothing for all other ops. It sees the same composite ops as cnncost's Graph, except for a few, which
`einsum` and `trace` handle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from cnncost.graph import Node, Shape
from cnncost.verify.account import Expected
from cnncost.verify.nodes import macs, op_name

_CONVOLUTIONS = (
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "convolution",
    "_convolution",
)  # fmt: skip
_NO_MACS = "; it has no MACs"


def expected(node: Node) -> Expected:
    """Return fvcore's predicted count for a node."""
    name = op_name(node)
    rule = _RULES.get(name)
    if rule is not None:
        return rule(name, node)
    if macs(node):
        return Expected("", 0, f"no formula for aten::{name}: counts as 0")
    return Expected("", 0)


def family(op: str) -> str:
    """Return the name under which an op is compared if composite products may be decomposed in the Graph."""
    return "matrix products" if op in _PRODUCTS else op


_PRODUCTS = frozenset({"linear", "matmul", "addmm", "mm", "bmm"})


def _convolution(_: str, node: Node) -> Expected:
    return Expected("conv", macs(node), "1 per MAC")


def _product(name: str, node: Node) -> Expected:
    return Expected(name, macs(node), "1 per MAC")


def _matmul(name: str, node: Node) -> Expected:
    """x: *,M,K; y: *,K,N. fvcore's formula is numel(x)·N, whatever the batch of y."""
    x, y = node.spec.inputs[:2]
    return Expected(name, x.numel * y.shape[-1], "1 per MAC, but with the batch of the first operand alone")


def _batch_norm(name: str, node: Node) -> Expected:
    """In eval mode, fvcore assumes only scale and shift, unless there are no running statistics."""
    affine = bool(node.spec["affine"])  # adds one per element
    if node.spec["statistics"]:
        return _per_normed(name, node, 4 + affine, "batch norm by the data's statistics")
    return _per_normed(name, node, 1 + affine, "batch norm")


def _norm(name: str, node: Node) -> Expected:
    return _per_normed(name, node, 4 + bool(node.spec["affine"]), f"{node.spec['fn']} norm")


def _per_normed(name: str, node: Node, each: int, what: str) -> Expected:
    scaled = "with scale" if node.spec["affine"] else "without scale"
    return Expected(name, each * node.spec.inputs[0].numel, f"{each} per element of a {what}, {scaled}{_NO_MACS}")


def _per_output(each: int) -> Callable[[str, Node], Expected]:
    def rule(name: str, node: Node) -> Expected:
        return Expected(name, each * node.spec.outputs[0].numel, f"{each} per element out of {name}{_NO_MACS}")

    return rule


def _per_input(name: str, node: Node) -> Expected:
    return Expected(name, node.spec.inputs[0].numel, f"1 per element into {name}{_NO_MACS}")


_RULES: dict[str, Callable[[str, Node], Expected]] = {
    **dict.fromkeys(_CONVOLUTIONS, _convolution),
    **dict.fromkeys(("linear", "addmm", "mm", "bmm"), _product),
    "matmul": _matmul,
    "batch_norm": _batch_norm,
    **dict.fromkeys(("layer_norm", "group_norm", "instance_norm"), _norm),
    "upsample_nearest2d": _per_output(1),
    "upsample_bilinear2d": _per_output(4),
    "grid_sampler": _per_output(4),
    "adaptive_avg_pool2d": _per_input,
}

_EXACT = frozenset({"abc,abd->acd", "abc,adc->adb"})
"""Equations, with letters renamed in order of appearance, for which fvcore has its own formula."""
EINSUM = "numpy's contraction cost plus 1, printed with 4 digits, halved and rounded down"


def einsum(equation: str, shapes: Sequence[Shape], recorded: int) -> Expected:
    """Return fvcore's predicted count for an einsum: half the "Optimized FLOP count" that `numpy.einsum_path` prints.

    Two equations have a formula of their own: one per MAC. Numpy's cost of contracting n operands is the product P of
    the sizes of all indices, times n - 1 (at least 1), plus P if an index is summed over. With more than two operands
    the cost depends on the order of the contractions, and an ellipsis hides indices: the cost is then assumed to be
    twice the MACs that cnncost `recorded`, so that a different order shows up as unexplained.
    """
    equation = equation.replace(" ", "")
    if len(shapes) > 2 or "." in equation:
        return Expected("einsum", _printed(2 * recorded), EINSUM)
    terms, arrow, out = equation.partition("->")
    extents: dict[str, int] = {}
    for term, shape in zip(terms.split(","), shapes, strict=True):
        extents |= zip(term, shape, strict=True)
    product = prod(extents.values())
    if _relabelled(equation) in _EXACT:
        return Expected("einsum", product, "1 per MAC")
    letters = terms.replace(",", "")
    in_output = set(out) if arrow else {i for i in letters if letters.count(i) == 1}
    summed = bool(extents.keys() - in_output)
    return Expected("einsum", _printed(product * (max(1, len(shapes) - 1) + summed)), EINSUM)


def _printed(operations: int) -> int:
    """Return the MACs that fvcore parses from numpy's output, which rounds the operations to 4 digits."""
    return int(float(f"{operations + 1:.3e}")) // 2


def _relabelled(equation: str) -> str:
    letters = dict.fromkeys(i for i in equation if i.isalpha())
    names = {i: chr(ord("a") + n) for n, i in enumerate(letters)}
    return "".join(names.get(i, i) for i in equation)
