"""Predicted time of collectives on the links between devices.

    time of a collective = max(launch, bytes of the busiest link / bandwidth of the link)

Bytes are those of the algorithm, in one direction (`ops/collective.py`). A group whose ranks share a node uses the
links within nodes. One that spans several passes each step's bytes out of each node by as many adapters as it has ranks
there, which the rings of one collective share out among them, but no faster than within the node:

    bandwidth = min(within, members on a node · beyond)

Latencies of single messages are left out, so that at a datasheet's bandwidths the time is a lower bound.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, get_args

from cnncost.devices.model import DTYPES, FABRICS, LINKS, Device
from cnncost.errors import DeviceError
from cnncost.graph import Graph, OpSpec, TensorType
from cnncost.near import suggestion
from cnncost.ops.collective import Algorithm, busiest

KIND = "collective"
ALGORITHMS: tuple[str, ...] = get_args(Algorithm)


class Topology(NamedTuple):
    """How ranks are linked: `link` for all, or links within nodes of `node` ranks and beyond them.

    Attributes:
        link: the link of all messages, by name; None: within a node the fastest fabric, beyond it InfiniBand.
        node: ranks on a node; None: as many as the device's source states, or all.
        algorithm: of all-reduces.
    """

    link: str | None = None
    node: int | None = None
    algorithm: Algorithm = "ring"


class LinkTime(NamedTuple):
    """All collectives of one sort in a run, and their time.

    Attributes:
        phase: `forward`, `backward` or `optimizer`.
        collective: `all_gather`, …
        group: the mesh's axis, or the name of the process group.
        ranks: how many take part.
        link: the links by name; `8 × infiniband` are as many adapters at once.
        bandwidth: bytes a second in one direction.
        calls: how many collectives there are.
        nbytes: bytes over the busiest link in one direction.
        seconds: their time, one after another.
    """

    phase: str
    collective: str
    group: str
    ranks: int
    link: str
    bandwidth: float
    calls: int
    nbytes: int
    seconds: float


class Sending(NamedTuple):
    """One collective: its link by name, the bandwidth in bytes a second, bytes over the busiest link, and seconds."""

    link: str
    bandwidth: float
    nbytes: int
    seconds: float


class _Path(NamedTuple):
    link: str
    bandwidth: float


def topology(link: str | None = None, node: int | None = None, algorithm: str = "ring") -> Topology:
    """How ranks are linked, as a user says it.

    Raises:
        DeviceError: a link or an algorithm that is none, a number of ranks that is none.
    """
    if link is not None and link not in LINKS:
        raise DeviceError(f"link {link!r}{suggestion(str(link), LINKS)}: expected one of {', '.join(LINKS)}")
    if node is not None and (type(node) is not int or node < 1):
        raise DeviceError(f"node: expected a number of ranks from 1 up, got {node!r}")
    if algorithm not in ALGORITHMS:
        raise DeviceError(f"algorithm {algorithm!r}: expected {' or '.join(ALGORITHMS)}")
    if link is not None and node is not None:
        raise DeviceError(f"link {link!r} and node {node}: expected one of them; a link is for all ranks, on any node")
    return Topology(link, node, "tree" if algorithm == "tree" else "ring")


def link_times(
    graph: Graph, device: Device, topology: Topology, dtype: str | None = None
) -> tuple[LinkTime, ...]:  # fmt: skip
    """The times of a Graph's collectives, in the order in which each sort comes first.

    Args:
        graph: the recorded run of a rank.
        device: its ceilings.
        topology: how the ranks are linked.
        dtype: send all floats in this number format, as `roofline` computes them; None: as recorded.

    Raises:
        DeviceError: the device has no bandwidth for a link that is needed.
    """
    specs = {id(node.spec): node.spec for node in graph.nodes if node.spec.kind == KIND}
    uses = Counter((id(node.spec), str(node.phase)) for node in graph.nodes if id(node.spec) in specs) if specs else {}
    values: dict[tuple[str, str, str, int, str], list[float]] = {}
    for (key, phase), count in uses.items():
        spec = specs[key]
        link, bandwidth, nbytes, seconds = sending(spec, device, topology, dtype)
        sort = (phase, spec["collective"], spec["group"], spec["ranks"], link)
        sums = values.setdefault(sort, [bandwidth, 0, 0, 0.0])
        for i, number in enumerate((count, count * nbytes, count * seconds), start=1):
            sums[i] += number
    return tuple(
        LinkTime(*sort, bandwidth, int(calls), int(nbytes), seconds)
        for sort, (bandwidth, calls, nbytes, seconds) in values.items()
    )


def sending(spec: OpSpec, device: Device, topology: Topology, dtype: str | None = None) -> Sending:
    """The time of one collective. Arguments and errors are those of `link_times`."""
    path = _path(spec, device, topology)
    nbytes = _stored(spec, busiest(spec, topology.algorithm), dtype)
    return Sending(*path, nbytes, max(device.launches, nbytes / path.bandwidth) if nbytes else 0.0)


def _stored(spec: OpSpec, nbytes: int, dtype: str | None) -> int:
    """Bytes of a collective's floats in another number format."""
    first = spec.inputs[0] if spec.inputs else None
    if dtype is None or first is None or not first.floating:
        return nbytes
    return nbytes * TensorType((), DTYPES[dtype]).nbytes // TensorType((), first.dtype).nbytes


def _path(spec: OpSpec, device: Device, topology: Topology) -> _Path:
    """The links of a group, and their bandwidth."""
    if topology.link is not None:
        return _Path(topology.link, _bandwidth(device, topology.link))
    within = next((name for name in FABRICS if name in device.links), "")
    node = topology.node or device.node
    least, nodes = _on_nodes(spec, node)
    if nodes == 1:
        return _Path(within, _bandwidth(device, within))
    beyond = "infiniband" if "infiniband" in device.links else "pcie"
    out = least * _bandwidth(device, beyond)
    if within and device.links[within] <= out:
        return _Path(within, device.links[within])
    return _Path(beyond if least == 1 else f"{least} × {beyond}", out)


def _bandwidth(device: Device, link: str) -> float:
    speed = device.links.get(link)
    if speed is None:
        has = f"it has {', '.join(device.links)}: choose one with --link" if device.links else "none is stated for it"
        raise DeviceError(f"device {device.name}: no bandwidth of a link {link or 'within a node'}; {has}")
    return speed


def _on_nodes(spec: OpSpec, node: int | None) -> tuple[int, int]:
    """The least number of the group's ranks on a node that has any, and on how many nodes they are."""
    members = [rank for start, end, step in spec.get("members") or () for rank in range(start, end, step)]
    if node is None or not members:
        return spec["ranks"], 1
    counts = Counter(rank // node for rank in members)
    return min(counts.values()), len(counts)


__all__ = ["ALGORITHMS", "KIND", "LinkTime", "Sending", "Topology", "link_times", "sending", "topology"]
