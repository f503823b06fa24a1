"""Predicted time of collectives on the links between devices.

    time of a collective = max(launch, bytes of the busiest link / bandwidth of the link)

Bytes are those of the algorithm (`ops/collective.py`), in one direction. A group within one node uses the node's own
links. A group that spans several nodes sends each step's bytes out of a node through as many adapters as the group has
ranks there, because a collective runs over several rings at once; but it is no faster than within the node:

    bandwidth = min(bandwidth within a node, ranks per node · bandwidth between nodes)

Latencies of single messages are left out, so with a datasheet's bandwidths the time is a lower bound.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, get_args

from cnncost.devices.model import FORMATS, LINKS, Device
from cnncost.errors import DeviceError
from cnncost.graph import ITEM_BYTES, Graph, OpSpec
from cnncost.near import suggestion
from cnncost.ops.collective import Algorithm, busiest

KIND = "collective"
ALGORITHMS: tuple[str, ...] = get_args(Algorithm)


class Topology(NamedTuple):
    """How ranks are linked: by one `link` between all of them, or by links within and between nodes of `node` ranks.

    Attributes:
        link: name of the link that all messages use; None: the device's fastest within a node, and its network between
            nodes.
        node: number of ranks per node; None: the number that the device's source states, or else all ranks.
        algorithm: the algorithm of all-reduces.
    """

    link: str | None = None
    node: int | None = None
    algorithm: Algorithm = "ring"


class LinkTime(NamedTuple):
    """The total time of all collectives of a run with the same phase, name, group, number of ranks and link.

    Attributes:
        phase: `forward`, `backward` or `optimizer`.
        collective: `all_gather`, …
        group: the mesh's axis, or the name of the process group.
        ranks: number of ranks in the group.
        link: the link's name; `8 × infiniband`: eight adapters at once.
        bandwidth: bytes per second in one direction.
        calls: number of collectives.
        nbytes: bytes over the busiest link in one direction.
        seconds: sum of the collectives' times.
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
    """One collective: its link's name and bandwidth (bytes per second), bytes over the busiest link, and seconds."""

    link: str
    bandwidth: float
    nbytes: int
    seconds: float


class _Path(NamedTuple):
    """The link that the slowest step of a collective uses, and its bandwidth in bytes per second."""

    link: str
    bandwidth: float


def topology(link: str | None = None, node: int | None = None, algorithm: str = "ring") -> Topology:
    """Return a Topology from the user's arguments.

    Raises:
        DeviceError: the link or algorithm is unknown, `node` is not a positive int, or both are given with `link`.
    """
    if link is not None and link not in LINKS:
        raise DeviceError(f"link {link!r}{suggestion(str(link), LINKS)}: expected one of {', '.join(LINKS)}")
    if node is not None and (type(node) is not int or node < 1):
        raise DeviceError(f"node: expected 1 or more ranks per node, got {node!r}")
    if algorithm not in ALGORITHMS:
        raise DeviceError(f"algorithm {algorithm!r}: expected {' or '.join(ALGORITHMS)}")
    if link is not None and node is not None:
        raise DeviceError(
            f"link {link!r} and node {node}: expected only one of them; a link is for all ranks, on any node"
        )
    return Topology(link, node, "tree" if algorithm == "tree" else "ring")


def link_times(
    graph: Graph, device: Device, topology: Topology, dtype: str | None = None
) -> tuple[LinkTime, ...]:  # fmt: skip
    """Return the times of a Graph's collectives, in order of first use.

    Args:
        graph: the recorded run of one rank.
        device: the device's ceilings.
        topology: how the ranks are linked.
        dtype: send all floats in this number format, as `roofline` computes them; None: as recorded.

    Raises:
        DeviceError: the device's bandwidth on a needed link is unknown.
    """
    specs = {id(node.spec): node.spec for node in graph.nodes if node.spec.kind == KIND}
    uses = Counter((id(node.spec), str(node.phase)) for node in graph.nodes if id(node.spec) in specs) if specs else {}
    values: dict[tuple[str, str, str, int, str], list[float]] = {}
    for (key, phase), count in uses.items():
        spec = specs[key]
        link, bandwidth, nbytes, seconds = sending(spec, device, topology, dtype)
        group = (phase, spec["collective"], spec["group"], spec["ranks"], link)
        sums = values.setdefault(group, [bandwidth, 0, 0, 0.0])
        for i, number in enumerate((count, count * nbytes, count * seconds), start=1):
            sums[i] += number
    return tuple(
        LinkTime(*group, bandwidth, int(calls), int(nbytes), seconds)
        for group, (bandwidth, calls, nbytes, seconds) in values.items()
    )


def sending(spec: OpSpec, device: Device, topology: Topology, dtype: str | None = None) -> Sending:
    """Return the time of one collective. Arguments and errors are those of `link_times`."""
    path = _path(spec, device, topology)
    nbytes = _bytes_as(dtype, spec, busiest(spec, topology.algorithm))
    return Sending(*path, nbytes, max(device.launches, nbytes / path.bandwidth) if nbytes else 0.0)


def _bytes_as(dtype: str | None, spec: OpSpec, nbytes: int) -> int:
    """Return the bytes of a collective if its floats are sent in the number format `dtype`; None: as recorded."""
    first = spec.inputs[0] if spec.inputs else None
    if dtype is None or first is None or not first.floating:
        return nbytes
    return nbytes * FORMATS[dtype].bits // (8 * ITEM_BYTES[first.dtype])


def _path(spec: OpSpec, device: Device, topology: Topology) -> _Path:
    """Return the path that a collective takes between the ranks of its group."""
    if topology.link is not None:
        return _Path(topology.link, _bandwidth(device, topology.link))
    within = device.fabric
    fewest, nodes = _on_nodes(spec, topology.node or device.node)
    if nodes == 1:
        return _Path(within or "", _bandwidth(device, within or "within a node"))
    between = device.network or ""
    bandwidth = fewest * _bandwidth(device, between or "between nodes")  # one adapter per rank on the node
    if within is not None and device.links[within] <= bandwidth:
        return _Path(within, device.links[within])
    return _Path(between if fewest == 1 else f"{fewest} × {between}", bandwidth)


def _bandwidth(device: Device, link: str) -> float:
    speed = device.links.get(link)
    if speed is None:
        has = f"only for {', '.join(device.links)}: choose one with --link" if device.links else "nor for any other"
        raise DeviceError(f"device {device.name}: no bandwidth is known for the link {link}, {has}")
    return speed


def _on_nodes(spec: OpSpec, ranks_per_node: int | None) -> tuple[int, int]:
    """Return the smallest number of the group's ranks on any of its nodes, and the number of its nodes."""
    members = [rank for start, end, step in spec.get("members") or () for rank in range(start, end, step)]
    if ranks_per_node is None or not members:
        return spec["ranks"], 1
    counts = Counter(rank // ranks_per_node for rank in members)
    return min(counts.values()), len(counts)


__all__ = ["ALGORITHMS", "KIND", "LinkTime", "Sending", "Topology", "link_times", "sending", "topology"]
