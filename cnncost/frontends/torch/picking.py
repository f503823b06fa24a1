"""Stores the positions that an op selects by known indices in the op's spec, because receptive fields depend on them.

Selections from parameters are left out: rows of a table of position biases, for example, don't depend on any input.
"""

from __future__ import annotations

import torch

from cnncost.frontends.torch import memo as memos
from cnncost.frontends.torch.blocks import TensorArgs
from cnncost.frontends.torch.meta import is_meta
from cnncost.graph import OpSpec

PICKING = frozenset(
    {"aten.index.Tensor", "aten._unsafe_index.Tensor", "aten.index_select", "aten.gather", "aten.take_along_dim",
     "aten.take"}
)  # fmt: skip
"""Ops that select elements by index."""
MAX_POSITIONS = 1 << 16
"""Maximum number of positions that a spec stores."""
_MASKS = frozenset({torch.bool, torch.uint8})

Runs = tuple[tuple[int, int, int], ...]
"""Positions as arithmetic progressions: (first, count, step)."""


def with_positions(spec: OpSpec, operands: TensorArgs) -> OpSpec:
    """Return the spec with attributes `positions` (the runs of each index tensor) and `picked` (their common shape).

    It is returned unchanged if an index is unknown, if the source tensor is a parameter or has known values, or if
    there are more than `MAX_POSITIONS`. `operands` are the source tensor and the indices. A mask selects the positions
    where it is true; several indices are broadcast.
    """
    (_, source), *indices = operands
    if source.sig.real or source.block.use == "parameter" or not all(tracked.sig.real for _, tracked in indices):
        return spec
    values: list[torch.Tensor] = []
    for tensor, tracked in indices:
        data = tensor if tracked.data is None else tracked.data
        values += data.nonzero(as_tuple=True) if data.dtype in _MASKS else [data]
    if not values or any(is_meta(data) for data in values):
        return spec
    shape = torch.broadcast_shapes(*[data.shape for data in values])
    if shape.numel() > MAX_POSITIONS:
        return spec
    positions = tuple([runs(data.expand(shape).flatten().tolist()) for data in values])
    indexing = (("picked", tuple(shape)), ("positions", positions))
    return memos.intern(OpSpec(spec.kind, spec.inputs, spec.outputs, tuple(sorted((*spec.attrs, *indexing)))))


def runs(positions: list[int]) -> Runs:
    """Return positions as runs (first, count, step): 0, 1, 2, 9, 7 is (0, 3, 1), (9, 2, -2)."""
    groups: list[tuple[int, int, int]] = []
    at, end = 0, len(positions)
    while at < end:
        first, count = positions[at], 1
        step = positions[at + 1] - first if at + 1 < end else 0
        while at + count < end and positions[at + count] == first + count * step:
            count += 1
        groups.append((first, count, step))
        at += count
    return tuple(groups)
