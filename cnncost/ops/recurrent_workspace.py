"""Workspaces of an LSTM's layers on a CPU, as oneDNN's kernel takes them (`cpu/rnn`, `init_scratchpad`)."""

from __future__ import annotations

from cnncost.graph import ITEM_BYTES, OpSpec
from cnncost.ops.recurrent import GATES
from cnncost.ops.workspace import Kernels, workspace

_BATCHES = 4_096
"""Bytes of descriptions that small products go through: of four of them, a thread."""


def _layer(spec: OpSpec, width: int, kernels: Kernels) -> int:
    """Both weights in blocks of the hidden state, the summed biases, and the gates of all steps.

    An input that is wider than the hidden state is copied to where the states of all steps lie, and so is the output.
    """
    hidden, item = spec["hidden"], ITEM_BYTES[spec.inputs[0].dtype]
    gates = GATES[spec["cell"]]
    filled = -(-hidden // (2 * kernels.lanes)) * 2 * kernels.lanes
    weights = gates * filled * (width + spec["recurrent"]) + gates * hidden
    steps = spec["tokens"] * (gates * hidden + (2 * width if width > hidden else 0))
    return int((weights + steps) * item + 4 * _BATCHES * kernels.threads)


@workspace("recurrent")
def recurrent(spec: OpSpec, kernels: Kernels) -> int:
    """Of an LSTM that a kernel computes, its largest layer; others are made of ops that have none."""
    if spec["cell"] != "lstm" or spec["recurrent"] != spec["hidden"] or ITEM_BYTES[spec.inputs[0].dtype] > 4:
        return 0
    inner = spec["recurrent"] * spec["directions"]
    return max(_layer(spec, width, kernels) for width in (spec["input"], inner)[: spec["layers"]])


@workspace("recurrent_backward")
def recurrent_backward(spec: OpSpec, kernels: Kernels) -> int:
    """As forward, and the gradient of the output in a copy."""
    copied = spec["tokens"] * spec["hidden"] * ITEM_BYTES[spec.inputs[0].dtype]
    return _layer(spec, spec["input"], kernels) + int(copied)
