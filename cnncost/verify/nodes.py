"""Node helpers for the rules: the op's name, and cnncost's own counts."""

from __future__ import annotations

from cnncost.graph import Node
from cnncost.ops import cost_of


def op_name(node: Node) -> str:
    """Short name: `aten.conv2d.padding` → `conv2d`, `aten.add_.Tensor` → `add_`; a custom op's whole name."""
    space, _, rest = node.name.partition(".")
    return rest.partition(".")[0] if space == "aten" and rest else node.name


def macs(node: Node) -> int:
    """Multiply-accumulates; 0 for an op without a rule."""
    cost = cost_of(node.spec)
    return cost.macs if cost is not None else 0


def flops(node: Node) -> int:
    """Floating-point operations; 0 for an op without a rule."""
    cost = cost_of(node.spec)
    return cost.flops if cost is not None else 0
