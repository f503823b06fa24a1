"""Multiply-accumulates if attention skips what its masks leave out, beside the dense count.

A block-sparse kernel computes the scores, and what follows from them, of visible pairs of a query and a key alone; by
tiles it computes each tile with a visible pair whole. Projections are not lessened. An op whose mask is not known
counts in full: an upper bound. So does attention that is written by hand, as products of activations, where a mask may
have come in between them (`by_hand`).
"""

from __future__ import annotations

from typing import NamedTuple

from cnncost.graph import Graph, OpSpec, Phase
from cnncost.masks import Mask, Tile, causal_pairs
from cnncost.ops import cost_of
from cnncost.passes.unmasked.by_hand import by_hand

_KINDS = frozenset({"attention", "attention_backward", "mha", "encoder_layer"})
_SCORED = frozenset({
    "scores", "weighted values", "scores, gradients of queries and keys", "gradients of weights and values",
})  # fmt: skip
"""What the terms are called in which each item is of one pair."""


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
    masks, written = dict(graph.masks), by_hand(graph)
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
        found[place] = Left(before.macs + left.macs, before.bound or left.bound or index in written)
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
        matrices, pairs = 1, causal_pairs(queries, keys, tile, bool(spec.get("lower_right")))
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
