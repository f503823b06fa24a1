"""Op names, as the Graph, torch and fvcore write them."""

from __future__ import annotations

from cnncost.graph import Node


def op_name(node: Node) -> str:
    """`conv2d` of `aten.conv2d.padding`, `add_` of `aten.add_.Tensor`; of a custom op the whole name."""
    space, _, rest = node.name.partition(".")
    return rest.partition(".")[0] if space == "aten" and rest else node.name
