"""What peers' rules read of a node: the op's name and cnncost's own counts."""

from __future__ import annotations

from cnncost.graph import Node
from cnncost.ops import cost_of


def op_name(node: Node) -> str:
    """Return `conv2d` for `aten.conv2d.padding`, `add_` for `aten.add_.Tensor`; the full name of a custom op."""
    space, _, rest = node.name.partition(".")
    return rest.partition(".")[0] if space == "aten" and rest else node.name


def macs(node: Node) -> int:
    """Return the node's multiply-accumulates; 0 for an op without a rule."""
    cost = cost_of(node.spec)
    return cost.macs if cost is not None else 0


def flops(node: Node) -> int:
    """Return the node's floating-point operations; 0 for an op without a rule."""
    cost = cost_of(node.spec)
    return cost.flops if cost is not None else 0
