"""Per-device figures of a model on several devices: parameters, MACs, copies and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cnncost.passes.memory import memory
from cnncost.passes.placement import Link, links, shares

if TYPE_CHECKING:
    from cnncost.graph import Graph


class OnDevice(NamedTuple):
    """One device's share of a model on several devices. Training figures are None unless a step was analyzed.

    Attributes:
        device: the device's name, such as `cuda:1`.
        params: number of parameters on the device.
        parameters, buffers: bytes of parameters and buffers on the device.
        macs: multiply-accumulates that it computes in inference.
        received, sent: bytes copied from and to other devices in inference.
        inference_peak: most bytes alive on the device at once in inference.
        activations: bytes allocated in forward that outlive it: saved for backward, or returned.
        gradients, optimizer_state: bytes of parameter gradients, and of the optimizer's state.
        training_macs, training_received, training_sent, training_peak: the same figures in a training step.
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
    """Return each device's share; empty for a model on one device, or if forward failed.

    Args:
        graph: a recorded forward.
        step: a training step of the same model, if one was recorded.
        block: the allocator's block size in bytes; sizes are rounded up to multiples of it.
    """
    if graph.placement is None or graph.failed is not None:
        return ()
    devices = []
    for i, (name, share) in enumerate(zip(graph.placement.devices, shares(graph), strict=True)):
        usage = memory(graph, block, i)
        use = usage.by_use
        training = _training_figures(step, name, block) if step is not None else ()
        devices.append(
            OnDevice(name, share.params, use["parameters"], use["buffers"], share.macs, share.received, share.sent,
                     usage.peak.nbytes, *training)
        )  # fmt: skip
    return tuple(devices)


def _training_figures(step: Graph, name: str, block: int) -> tuple[int, ...]:
    """Return a device's training figures in the order of `OnDevice`; zeros if the step doesn't use the device."""
    if step.placement is None or name not in step.placement.devices:
        return (0,) * 7
    index = step.placement.devices.index(name)
    usage, share = memory(step, block, index), shares(step)[index]
    use = usage.by_use
    return (
        use["activations"], use["gradients"], use["optimizer state"],
        share.macs, share.received, share.sent, usage.peak.nbytes,
    )  # fmt: skip


def all_links(graph: Graph, step: Graph | None) -> tuple[Link, ...]:
    """Return the copies between devices in inference and, if there is one, in the training step."""
    if graph.placement is None:
        return ()
    return links(graph, "inference") + (links(step, "training") if step is not None else ())
