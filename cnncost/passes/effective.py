"""Multiply-accumulates with weights that are not zero: of pruned and sparse models, where zeros are skipped."""

from __future__ import annotations

from typing import NamedTuple

from cnncost.graph import Graph, Node
from cnncost.ops import cost_of

_SPARSE = "sparse::matmul"
_WEIGHTED = frozenset({"conv", "linear", "matmul", _SPARSE})


class Effective(NamedTuple):
    """What is left.

    Attributes:
    dense: all multiply-accumulates.
    macs: those left if each with a weight of zero is skipped; of a product with a sparse layout, those it stores.
    by_path: for each module with weights, its dense and its effective count.
    """

    dense: int
    macs: int
    by_path: dict[str, tuple[int, int]]

    @property
    def density(self) -> float:
        """The part that is left, from 0 to 1."""
        return self.macs / self.dense if self.dense else 1.0


def effective(graph: Graph, nonzero: dict[int, int]) -> Effective:
    """MACs·Z/W of each product with a weight of W elements, Z of them not zero: each takes part equally often.

    `nonzero` says for values of the Graph how many elements are not zero; products with others count in full.
    """
    dense = left = 0
    by_path: dict[str, tuple[int, int]] = {}
    known = _spread(graph, nonzero)
    for node in graph.nodes:
        found = cost_of(node.spec) if node.phase == "forward" else None
        macs = found.macs if found is not None else 0
        if not macs:
            continue
        kept, full = macs, _dense(node, macs)
        weight = _weight(node, known)
        if weight is not None:
            kept = full * known[weight] // graph.values[weight].type.numel
            path = graph.scopes[graph.calls[node.call].scope].path
            before = by_path.get(path, (0, 0))
            by_path[path] = (before[0] + full, before[1] + kept)
        dense, left = dense + full, left + kept
    return Effective(dense, left, by_path)


def _dense(node: Node, macs: int) -> int:
    """What the product takes where a sparse factor's zeros are stored, too: K for each output."""
    if node.spec.kind != _SPARSE:
        return macs
    return node.spec.outputs[0].numel * node.spec.inputs[-2].shape[-1]


def _weight(node: Node, known: dict[int, int]) -> int | None:
    if node.spec.kind not in _WEIGHTED:
        return None
    return next((value for value in node.inputs[1:] + node.inputs[:1] if value in known), None)


def _spread(graph: Graph, nonzero: dict[int, int]) -> dict[int, int]:
    """What is known of values, and of those that have the same elements in another layout."""
    known = dict(nonzero)
    for node in graph.nodes:
        if node.spec.kind != "layout" or len(node.inputs) != 1 or node.inputs[0] not in known:
            continue
        source = node.inputs[0]
        for result in node.outputs:  # of a part it is known only if there is nothing in the whole
            if not known[source] or graph.values[source].type.numel == graph.values[result].type.numel:
                known[result] = known[source]
    return known
