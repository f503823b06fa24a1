"""Dropout and stochastic depth, as they arrive with autograd on: by their parts.

A mask is drawn with one probability for all, scaled and multiplied with. What is done with masks costs what dropout
does, and what comes of masks alone is a mask.
"""

from __future__ import annotations

import torch

from cnncost.frontends.torch import memo as memos
from cnncost.frontends.torch.blocks import Found
from cnncost.frontends.torch.ledger import Ledger
from cnncost.frontends.torch.memo import Entry
from cnncost.graph import OpSpec

MASKING = frozenset({"aten.bernoulli_.float", "aten.bernoulli.p"})
"""Ops that draw a mask."""


def regulariser(ledger: Ledger, entry: Entry, found: Found, results: list[torch.Tensor]) -> OpSpec:
    """The spec of an op that may be a part of a dropout or stochastic depth; the books are told which are masks."""
    blocks = [known.block for _, known in found]
    drawn, spec = entry.name in MASKING, entry.spec
    among_masks = drawn or (spec.kind == "pointwise" and any(block.noise for block in blocks))
    mask = drawn or (among_masks and all(block.noise for block in blocks))
    for tensor in results:
        known = ledger.find(tensor)
        if known is not None and (mask or entry.writes):  # a mask that is overwritten is none any more
            known.block.noise = mask
    if not among_masks:
        return spec
    return memos.intern(OpSpec("dropout", spec.inputs, spec.outputs, (("training", True),)))
