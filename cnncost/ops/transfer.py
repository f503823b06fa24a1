"""Copies from one device to another."""

from __future__ import annotations

from cnncost.graph import OpSpec
from cnncost.ops.kinds import kind, rest
from cnncost.ops.registry import Cost, cost


@kind(
    "transfer",
    inputs=(rest("x"),),
    outputs=(rest("y"),),
    attributes={"source": str, "target": str},
    reach="elements.transfer",
)
def transfer(spec: OpSpec) -> Cost:
    """0: a copy over the link between two devices.

    Attributes: source, target: the devices. A copy to another dtype is converted before it is sent, so the link
    carries the bytes of the result (aten/src/ATen/native/cuda/Copy.cu).
    """
    return cost(spec, read=spec.outputs[0].nbytes)


def link_bytes(spec: OpSpec) -> int:
    """Return the bytes that a transfer sends over the link."""
    return spec.outputs[0].nbytes
