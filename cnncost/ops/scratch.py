"""Tensors that an op makes and gives back while it runs, where the algorithm and not the kernel decides on them.

Workspaces that differ from kernel to kernel are not in here.
"""

from __future__ import annotations

from collections.abc import Callable

from cnncost.graph import ITEM_BYTES, OpSpec
from cnncost.ops.recurrent import GATES


def _recurrent(spec: OpSpec) -> int:
    """Each layer reads the whole output of the one before; a batch that comes first is put second, in a copy.

    Of GRU and RNN, the gates of all steps are computed at once, and the steps' outputs are stacked in the end.
    """
    x = spec.inputs[0]
    item = ITEM_BYTES[x.dtype]
    width = spec["directions"] * (spec["recurrent"] if spec["layers"] > 1 else 0)
    moved = x.nbytes if spec["steps_axis"] == 1 and min(x.shape[:2]) > 1 else 0
    if spec["cell"] != "lstm":
        width += (GATES[spec["cell"]] + spec["directions"]) * spec["hidden"]
        moved = 0
    return int(spec["tokens"] * width * item + moved)


_SCRATCH: dict[str, Callable[[OpSpec], int]] = {"recurrent": _recurrent}


def scratch_of(spec: OpSpec) -> int:
    """Bytes that an op has out while it runs, beyond its inputs and outputs.

    The attribute `scratch` tells of what a front end has seen that an op's parts have out.
    """
    if (seen := spec.get("scratch")) is not None:
        return int(seen)
    found = _SCRATCH.get(spec.kind)
    return found(spec) if found is not None else 0


def is_known(spec: OpSpec) -> bool:
    """Whether `scratch_of` is all that the op has out: a front end marks an op whose parts it couldn't run."""
    return spec.get("scratch_unknown") is None
