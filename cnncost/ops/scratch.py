"""Temporary tensors that an op allocates while it runs, as far as the algorithm determines them.

Memory that depends on the kernel is in `workspace`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from cnncost.graph import ITEM_BYTES, OpSpec
from cnncost.ops.cells import GATES
from cnncost.ops.registry import contradiction

Scratch: TypeAlias = "Callable[[OpSpec], int]"
_RULES: dict[str, Scratch] = {}


def scratch(kind: str) -> Callable[[Scratch], Scratch]:
    """Register an op kind's rule for the bytes that the op allocates while it runs, beyond its inputs and outputs."""

    def register(function: Scratch) -> Scratch:
        _RULES[kind] = function
        return function

    return register


def recurrent(spec: OpSpec) -> int:
    """Bytes of the previous layer's output, and of a transposed copy of an LSTM's input if it is batch-first.

    GRU and RNN compute the gates of all steps at once, and stack the steps' outputs at the end.
    """
    x, hidden, directions = spec.inputs[0], spec["hidden"], spec["directions"]
    width = directions * spec["recurrent"] if spec["layers"] > 1 else 0  # of the previous layer's output
    transposed = 0
    if spec["cell"] != "lstm":
        width += GATES[spec["cell"]] * hidden + directions * hidden  # the gates, the stacked outputs
    elif spec["steps_axis"] == 1 and min(x.shape[:2]) > 1:
        transposed = x.nbytes
    return int(spec["tokens"] * width * ITEM_BYTES[x.dtype] + transposed)


def scratch_of(spec: OpSpec) -> int:
    """Return the temporary bytes that an op allocates while it runs, beyond its inputs and outputs.

    The attribute `scratch`, if present, is the number that a front end measured on the op's parts.
    """
    if (measured := spec.get("scratch")) is not None:
        return int(measured)
    rule = _RULES.get(spec.kind)
    return rule(spec) if rule is not None and contradiction(spec) is None else 0


def scratch_is_known(spec: OpSpec) -> bool:
    """True if `scratch_of` is complete: a front end marks ops whose parts it couldn't run with `scratch_unknown`."""
    return spec.get("scratch_unknown") is None
