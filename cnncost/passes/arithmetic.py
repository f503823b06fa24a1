"""Multiply-accumulates by dtype."""

from __future__ import annotations

from collections import Counter

from cnncost.graph import Graph
from cnncost.ops import cost_of, product_dtype


def macs_by_dtype(graph: Graph) -> dict[str, int]:
    """Return the MACs of the forward pass by the dtype of their factors, largest count first.

    MACs without FLOPs are products of integers: `int8`, whatever the dtypes of a quantized layer's input and output,
    unless the factors are wider integers.
    """
    sums: dict[str, int] = {}
    specs = {id(node.spec): node.spec for node in graph.nodes}
    # by identity: front ends intern specs, and hashing is slower; unpacking is faster than attribute access
    uses = Counter([id(spec) for spec, _, _, _, _, phase in graph.nodes if phase == "forward"])
    for key, count in uses.items():
        cost = cost_of(specs[key])
        for term in cost.terms if cost is not None and cost.macs else ():
            if term.mac and term.items:
                dtype = product_dtype(term, specs[key])
                sums[dtype] = sums.get(dtype, 0) + count * term.items
    return dict(sorted(sums.items(), key=lambda pair: -pair[1]))
