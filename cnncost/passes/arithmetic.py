"""In which numbers the multiply-accumulates are done."""

from __future__ import annotations

from cnncost.graph import Graph
from cnncost.ops import cost_of


def macs_by_dtype(graph: Graph) -> dict[str, int]:
    """Multiply-accumulates of the forward pass by the dtype of what is multiplied, most first.

    Products of integers have no FLOPs: `int8`, whatever the dtypes of the layer's input and output are.
    """
    sums: dict[str, int] = {}
    for node in graph.nodes:
        found = cost_of(node.spec) if node.phase == "forward" else None
        for term in found.terms if found is not None else ():
            if term.mac and term.items:
                dtype = node.spec.inputs[0].dtype if term.flops else "int8"
                sums[dtype] = sums.get(dtype, 0) + term.items
    return dict(sorted(sums.items(), key=lambda pair: -pair[1]))
