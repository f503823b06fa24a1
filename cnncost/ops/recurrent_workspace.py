"""Workspaces of an LSTM's layers on a CPU, as oneDNN's kernel allocates them (`cpu/rnn`, `init_scratchpad`)."""

from __future__ import annotations

from cnncost.graph import ITEM_BYTES, OpSpec
from cnncost.ops.cells import GATES
from cnncost.ops.workspace import Kernels

_BATCHES = 4_096
"""Bytes of one descriptor for batches of small products; each thread has four."""


def _layer(spec: OpSpec, width: int, kernels: Kernels) -> int:
    """Return the bytes of a layer's weights, with hidden units padded to blocks, summed biases, and all steps' gates.

    An input wider than the hidden state is copied into the buffer of all steps' states, and so is the output.
    """
    hidden, item = spec["hidden"], ITEM_BYTES[spec.inputs[0].dtype]
    gates = GATES[spec["cell"]]
    padded = -(-hidden // (2 * kernels.lanes)) * 2 * kernels.lanes
    weights = gates * padded * (width + spec["recurrent"]) + gates * hidden
    steps = spec["tokens"] * (gates * hidden + (2 * width if width > hidden else 0))
    return int((weights + steps) * item + 4 * _BATCHES * kernels.threads)


def recurrent(spec: OpSpec, kernels: Kernels) -> int:
    """Return the bytes of the largest layer of an LSTM that runs as one kernel; 0 if it runs as several ops."""
    if spec["cell"] != "lstm" or spec["recurrent"] != spec["hidden"] or ITEM_BYTES[spec.inputs[0].dtype] > 4:
        return 0
    inner = spec["recurrent"] * spec["directions"]
    return max(_layer(spec, width, kernels) for width in (spec["input"], inner)[: spec["layers"]])


def recurrent_backward(spec: OpSpec, kernels: Kernels) -> int:
    """Return the bytes of forward plus those of a copy of the output's gradient."""
    copied = spec["tokens"] * spec["hidden"] * ITEM_BYTES[spec.inputs[0].dtype]
    return _layer(spec, spec["input"], kernels) + int(copied)
