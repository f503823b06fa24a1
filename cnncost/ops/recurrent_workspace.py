"""Workspaces of an LSTM's layers on a CPU, as oneDNN's kernel allocates them (`cpu/rnn`, `init_scratchpad`)."""

from __future__ import annotations

from cnncost.graph import ITEM_BYTES, OpSpec
from cnncost.ops.cells import GATES
from cnncost.ops.workspace import Kernels

_DESCRIPTOR_BYTES = 4_096
"""Bytes of oneDNN's descriptor for a batch of small matrix products; each thread has four."""


def _layer(spec: OpSpec, width: int, kernels: Kernels) -> int:
    """Return a layer's bytes: weights (hidden units padded to pairs of blocks), summed biases, gates and descriptors.

    The gates of all steps are stored. If the input is wider than the hidden state, input and output are copied to
    buffers whose rows have the input's width.
    """
    hidden, item = spec["hidden"], ITEM_BYTES[spec.inputs[0].dtype]
    gates = GATES[spec["cell"]]
    padded = -(-hidden // (2 * kernels.lanes)) * 2 * kernels.lanes
    weights, biases = gates * padded * (width + spec["recurrent"]), gates * hidden
    copies_of_input_and_output = 2 * width if width > hidden else 0
    steps = spec["tokens"] * (gates * hidden + copies_of_input_and_output)
    return int((weights + biases + steps) * item + 4 * _DESCRIPTOR_BYTES * kernels.threads)


def recurrent(spec: OpSpec, kernels: Kernels) -> int:
    """Return the bytes of the largest layer of an LSTM that runs as one kernel; 0 if it runs as several ops."""
    if spec["cell"] != "lstm" or spec["recurrent"] != spec["hidden"] or ITEM_BYTES[spec.inputs[0].dtype] > 4:
        return 0
    inner = spec["recurrent"] * spec["directions"]
    # all layers after the first have inputs of the same width
    return max(_layer(spec, width, kernels) for width in (spec["input"], inner)[: spec["layers"]])


def recurrent_backward(spec: OpSpec, kernels: Kernels) -> int:
    """Return forward's bytes plus those of a copy of the output's gradient.

    `spec` is that of a single layer whose forward ran as one kernel: torch has this op only for such layers.
    """
    copied = spec["tokens"] * spec["hidden"] * ITEM_BYTES[spec.inputs[0].dtype]
    return _layer(spec, spec["input"], kernels) + int(copied)
