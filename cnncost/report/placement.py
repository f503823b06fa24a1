"""What each device of a model holds, computes and receives."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cnncost.passes.memory import memory
from cnncost.passes.placement import Link, links, shares

if TYPE_CHECKING:
    from cnncost.graph import Graph


class OnDevice(NamedTuple):
    """One device's share of a model that is on several. Those of a training step are None unless one was analyzed.

    Attributes:
        device: its name, such as `cuda:1`.
        params, parameters, buffers: number of parameters, their bytes, and bytes of buffers.
        macs, received, sent: multiply-accumulates of inference, bytes from and to other devices.
        inference_peak: most bytes alive on it at once.
        activations: bytes saved for backward.
        gradients, optimizer_state: bytes.
        training_macs, training_received, training_sent, training_peak: the same of a training step.
    """

    device: str
    params: int
    parameters: int
    buffers: int
    macs: int
    received: int
    sent: int
    inference_peak: int
    activations: int | None = None
    gradients: int | None = None
    optimizer_state: int | None = None
    training_macs: int | None = None
    training_received: int | None = None
    training_sent: int | None = None
    training_peak: int | None = None


def on_devices(graph: Graph, step: Graph | None, block: int = 1) -> tuple[OnDevice, ...]:
    """Each device's share; none for a model on one device, or whose forward failed.

    Args:
        graph: a recorded forward.
        step: a training step of the same model, if one was recorded.
        block: size that the allocator rounds up to.
    """
    if graph.placement is None or graph.failed is not None:
        return ()
    found = []
    for i, (name, share) in enumerate(zip(graph.placement.devices, shares(graph), strict=True)):
        held = memory(graph, block, i)
        use = held.by_use
        trained = _trained(step, name, block) if step is not None else ()
        found.append(
            OnDevice(name, share.params, use["parameters"], use["buffers"], share.macs, share.received, share.sent,
                     held.peak.nbytes, *trained)
        )  # fmt: skip
    return tuple(found)


def _trained(step: Graph, name: str, block: int) -> tuple[int, ...]:
    """A device's figures of a training step; zeros for one that only inference uses."""
    if step.placement is None or name not in step.placement.devices:
        return (0,) * 7
    index = step.placement.devices.index(name)
    held, share = memory(step, block, index), shares(step)[index]
    use = held.by_use
    return (
        use["activations"], use["gradients"], use["optimizer state"],
        share.macs, share.received, share.sent, held.peak.nbytes,
    )  # fmt: skip


def all_links(graph: Graph, step: Graph | None) -> tuple[Link, ...]:
    """Copies between devices, of inference and of a training step."""
    if graph.placement is None:
        return ()
    return links(graph, "inference") + (links(step, "training") if step is not None else ())
