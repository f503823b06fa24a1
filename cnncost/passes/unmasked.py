"""Multiply-accumulates if attention skips what its masks leave out, beside the dense count.

A block-sparse kernel computes the scores, and what follows from them, of visible pairs of a query and a key alone; by
tiles it computes each tile with a visible pair whole. Projections are not lessened. An op whose mask is not known
counts in full: an upper bound. So does attention that is written by hand, as products with a softmax between them,
where something is added to the scores or put in their place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cnncost.graph import Graph, Node, OpSpec, Phase
from cnncost.masks import Mask, Tile, causal_pairs
from cnncost.ops import cost_of

_KINDS = frozenset({"attention", "attention_backward", "mha", "encoder_layer"})
_SCORED = frozenset({
    "scores", "weighted values", "scores, gradients of queries and keys", "gradients of weights and values",
})  # fmt: skip
"""What the terms are called in which each item is of one pair."""
_CARRIERS = frozenset({"pointwise", "dropout", "layout", "softmax"})
_MASKING = ("masked_fill", "where", "add", "sub", "tril", "triu", "copy", "index_put", "fill")
"""How ops are called that may put a mask onto scores."""


class Left(NamedTuple):
    """What is left of some ops.

    Attributes:
        macs: multiply-accumulates.
        bound: whether it is an upper bound, for a mask is not known.
    """

    macs: int
    bound: bool


NOTHING = Left(0, False)


def unmasked(graph: Graph, tile: Tile | None = None) -> dict[tuple[Phase, int], Left]:
    """What each module call ran itself in each phase, by phase and index of the call; of those with products.

    Args:
        graph: with what is known of masks.
        tile: queries and keys of the blocks that are computed whole; None: pairs alone.
    """
    found: dict[tuple[Phase, int], Left] = {}
    masks, by_hand = dict(graph.masks), _by_hand(graph)
    counted: dict[tuple[int, Mask | None], Left] = {}
    for index, node in enumerate(graph.nodes):
        key = (id(node.spec), masks.get(index))
        left = counted.get(key)
        if left is None:
            left = counted[key] = left_of(node.spec, key[1], tile)
        if not left.macs:
            continue
        place = (node.phase, node.call)
        before = found.get(place, NOTHING)
        found[place] = Left(before.macs + left.macs, before.bound or left.bound or index in by_hand)
    return found


def left_of(spec: OpSpec, mask: Mask | None, tile: Tile | None = None) -> Left:
    """What is left of one op. `mask` is its mask, if that is known."""
    cost = cost_of(spec)
    if cost is None or not cost.macs:
        return NOTHING
    if not takes_mask(spec, mask):
        return Left(cost.macs, False)
    queries, keys = spec["queries"], spec["keys"]
    if spec.get("causal") and mask is None:
        matrices, pairs = 1, causal_pairs(queries, keys, tile)
    elif mask is not None and not spec.get("causal"):
        matrices, pairs = mask.matrices, mask.pairs(queries, keys, tile)
    else:
        return Left(cost.macs, True)
    total, macs = matrices * queries * keys, 0
    for term in cost.terms:
        if not term.mac:
            continue
        if term.what in _SCORED and term.items % total:  # a mask of more batches than are multiplied
            return Left(cost.macs, True)
        macs += term.items // total * pairs if term.what in _SCORED else term.items
    return Left(macs, False)


def takes_mask(spec: OpSpec, mask: Mask | None) -> bool:
    """Whether an op is attention with a mask, given or known."""
    return spec.kind in _KINDS and (bool(spec["mask"]) or mask is not None)


class _Trail(NamedTuple):
    """What a value is made of: products, whether a mask may have been put on, whether a softmax was."""

    products: frozenset[int]
    masked: bool
    weights: bool


def _by_hand(graph: Graph) -> set[int]:
    """Nodes of forward and backward that are products of attention written by hand, with scores that may be masked.

    Products with a parameter are no scores. A backward's are those whose inputs are of the same values' gradients; as
    these are not told apart, all products of a call's backward are, whose forward has such.
    """
    if not any(node.spec.kind == "softmax" for node in graph.nodes):
        return set()
    trails: dict[int, _Trail] = {}
    owned = {value.id for value in graph.values if value.role == "parameter"}
    found: set[int] = set()
    for index, node in enumerate(graph.nodes):
        kind, inputs = node.spec.kind, [trails[i] for i in node.inputs if i in trails]
        if kind == "layout" and len(node.inputs) == 1 and node.inputs[0] in owned:
            owned.update(node.outputs)
        elif kind == "matmul":
            made = frozenset[int]().union(*(t.products for t in inputs if t.weights and t.masked))
            if made:
                found.update(made, {index})
            elif owned.isdisjoint(node.inputs):
                trails.update(dict.fromkeys(node.outputs, _Trail(frozenset({index}), False, False)))
        elif inputs and kind in _CARRIERS:
            trails.update(dict.fromkeys(node.outputs, _onwards(node, inputs)))
    return found | set(_backward(graph, {graph.nodes[i].call for i in found}))


def _onwards(node: Node, inputs: Iterable[_Trail]) -> _Trail:
    trails = list(inputs)
    puts = len(node.inputs) > 1 or "tri" in node.name
    masks = puts and any(part in node.name for part in _MASKING)
    return _Trail(
        frozenset[int]().union(*(t.products for t in trails)),
        masks or any(t.masked for t in trails),
        node.spec.kind == "softmax" or any(t.weights for t in trails),
    )


def _backward(graph: Graph, calls: set[int]) -> Iterable[int]:
    for index, node in enumerate(graph.nodes):
        if node.phase == "backward" and node.call in calls and node.spec.kind == "matmul":
            yield index
