"""Multiply-accumulates if attention skips masked query-key pairs; a figure next to the dense count.

A block-sparse kernel computes scores, and everything derived from them, only for visible query-key pairs; with tiles,
it computes every tile that contains a visible pair in full. Projections are not reduced. An op with an unknown mask
counts in full: an upper bound. So does attention written by hand as two products of activations, if a mask may have
been applied between them (`by_hand`).
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
"""Labels of the terms whose items belong to query-key pairs."""


class UnmaskedMacs(NamedTuple):
    """Multiply-accumulates of some ops if attention skips masked pairs.

    Attributes:
        macs: multiply-accumulates.
        bound: whether `macs` is an upper bound, because a mask is unknown.
    """

    macs: int
    bound: bool


NOTHING = UnmaskedMacs(0, False)


def unmasked(graph: Graph, tile: Tile | None = None) -> dict[tuple[Phase, int], UnmaskedMacs]:
    """Return the MACs of each module call's own ops without masked pairs, by phase and call index, unless zero.

    Args:
        graph: a Graph with its recorded masks.
        tile: numbers of queries and keys in a block that is computed in full; None: single pairs.
    """
    by_call: dict[tuple[Phase, int], UnmaskedMacs] = {}
    masks, bounded = dict(graph.masks), by_hand(graph)
    cache: dict[tuple[int, Mask | None], UnmaskedMacs] = {}
    for index, node in enumerate(graph.nodes):
        key = (id(node.spec), masks.get(index))
        own = cache.get(key)
        if own is None:
            own = cache[key] = unmasked_macs(node.spec, key[1], tile)
        if not own.macs:
            continue
        place = (node.phase, node.call)
        before = by_call.get(place, NOTHING)
        by_call[place] = UnmaskedMacs(before.macs + own.macs, before.bound or own.bound or index in bounded)
    return by_call


def unmasked_macs(spec: OpSpec, mask: Mask | None, tile: Tile | None = None) -> UnmaskedMacs:
    """Return the MACs of one op without masked pairs. `mask` is its mask, if known."""
    cost = cost_of(spec)
    if cost is None or not cost.macs:
        return NOTHING
    if not takes_mask(spec, mask):
        return UnmaskedMacs(cost.macs, False)
    queries, keys = spec["queries"], spec["keys"]
    if spec.get("causal") and mask is None:
        matrices, pairs = 1, causal_pairs(queries, keys, tile, bool(spec.get("lower_right")))
    elif mask is not None and not spec.get("causal"):
        matrices, pairs = mask.matrices, mask.pairs(queries, keys, tile)
    else:
        return UnmaskedMacs(cost.macs, True)
    total, macs = matrices * queries * keys, 0
    for term in cost.terms:
        if not term.mac:
            continue
        if term.label in _SCORED and term.items % total:  # the mask has more batches than the product
            return UnmaskedMacs(cost.macs, True)
        macs += term.items // total * pairs if term.label in _SCORED else term.items
    return UnmaskedMacs(macs, False)


def takes_mask(spec: OpSpec, mask: Mask | None) -> bool:
    """True if an op is attention with a mask, whether or not the mask is known."""
    return spec.kind in _KINDS and (bool(spec["mask"]) or mask is not None)
