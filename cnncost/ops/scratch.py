"""Tensors that an op makes and gives back while it runs, where the algorithm and not the kernel decides on them.

Workspaces that differ from kernel to kernel are not in here.
"""

from __future__ import annotations

from collections.abc import Callable

from cnncost.graph import ITEM_BYTES, OpSpec


def _recurrent(spec: OpSpec) -> int:
    """Each layer reads the whole output of the one before; a batch that comes first is put second, in a copy."""
    item = ITEM_BYTES[spec.inputs[0].dtype]
    layer = spec["tokens"] * spec["directions"] * (spec["recurrent"] if spec["layers"] > 1 else 0) * item
    x = spec.inputs[0]
    moved = x.nbytes if spec["steps_axis"] == 1 and min(x.shape[:2]) > 1 else 0
    return int(layer + moved)


_SCRATCH: dict[str, Callable[[OpSpec], int]] = {"recurrent": _recurrent}


def scratch_of(spec: OpSpec) -> int:
    """Bytes that an op has out while it runs, beyond its inputs and outputs."""
    found = _SCRATCH.get(spec.kind)
    return found(spec) if found is not None else 0
