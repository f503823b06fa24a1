"""Recognize dropout and stochastic depth by their parts, as they arrive with autograd on.

A mask is drawn with one probability for all elements, scaled, and multiplied with the input. Ops on masks are counted
as dropout, and the result of ops on only masks is a mask.
"""

from __future__ import annotations

import torch

from cnncost.frontends.torch import memo as memos
from cnncost.frontends.torch.blocks import TensorArgs
from cnncost.frontends.torch.ledger import TensorTable
from cnncost.frontends.torch.memo import Entry
from cnncost.graph import OpSpec

MASKING = frozenset({"aten.bernoulli_.float", "aten.bernoulli.p"})
"""Ops that draw a mask."""


def dropout_spec(ledger: TensorTable, entry: Entry, operands: TensorArgs, results: list[torch.Tensor]) -> OpSpec:
    """Return the spec of an op that may be in dropout or stochastic depth; note in `noise` which results are masks."""
    blocks = [tracked.block for _, tracked in operands]
    draws_mask, spec = entry.name in MASKING, entry.spec
    uses_mask = draws_mask or (spec.kind == "pointwise" and any(block.noise for block in blocks))
    returns_mask = draws_mask or (uses_mask and all(block.noise for block in blocks))
    for tensor in results:
        tracked = ledger.find(tensor)
        if tracked is not None and (returns_mask or entry.writes):  # a mask that is overwritten may no longer be one
            tracked.block.noise = returns_mask
    if not uses_mask:
        return spec
    return memos.intern(OpSpec("dropout", spec.inputs, spec.outputs, (("training", True),)))
