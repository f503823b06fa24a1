"""Each device's share of a model: the parameters on it, its MACs, and the bytes that it sends and receives."""

from __future__ import annotations

from typing import NamedTuple

from cnncost.graph import Graph
from cnncost.ops import cost_of
from cnncost.ops.transfer import link_bytes

KIND = "transfer"


class Share(NamedTuple):
    """One device's share of the model.

    Attributes:
        params: number of parameters on the device, tied ones counted once.
        macs: multiply-accumulates of the ops that run on it.
        received, sent: bytes copied from and to other devices.
    """

    params: int
    macs: int
    received: int
    sent: int


class Link(NamedTuple):
    """All copies from one device to another in a run.

    Attributes:
        run: `inference`, or `training` for a training step.
        phase: `forward`, `backward` or `optimizer`.
        source, target: the devices.
        calls: number of copies.
        nbytes: bytes of all copies.
    """

    run: str
    phase: str
    source: str
    target: str
    calls: int
    nbytes: int


def shares(graph: Graph) -> tuple[Share, ...]:
    """Return each device's share, in the order of the Graph's devices; empty for a model on one device."""
    if graph.placement is None:
        return ()
    params, macs, received, sent = ([0] * len(graph.placement.devices) for _ in range(4))
    owned = {o.value for scope in graph.scopes for o in scope.parameters}
    for value in owned:
        params[graph.placement.storages[graph.values[value].storage]] += graph.values[value].type.numel
    for node in graph.nodes:
        if node.spec.kind == KIND:
            received[graph.placement.devices.index(node.spec["target"])] += link_bytes(node.spec)
            sent[graph.placement.devices.index(node.spec["source"])] += link_bytes(node.spec)
        elif node.inputs or node.outputs:
            cost = cost_of(node.spec)
            storages = [graph.values[i].storage for i in node.outputs + node.inputs]
            macs[graph.placement.runs_on(storages)] += cost.macs if cost is not None else 0
    return tuple(map(Share, params, macs, received, sent))


def links(graph: Graph, run: str) -> tuple[Link, ...]:
    """Return the Graph's copies between devices, by phase and pair of devices, in order of first use."""
    sums: dict[tuple[str, str, str], list[int]] = {}
    for node in graph.nodes:
        if node.spec.kind == KIND:
            counts = sums.setdefault((node.phase, node.spec["source"], node.spec["target"]), [0, 0])
            counts[0] += 1
            counts[1] += link_bytes(node.spec)
    return tuple([Link(run, *where, *numbers) for where, numbers in sums.items()])
