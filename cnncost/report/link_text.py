"""Describes the communication time of a split model: a table of its collectives, and sentences on the overlap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cnncost import units
from cnncost.devices.model import Device
from cnncost.passes.links import Topology
from cnncost.render.document import Column, Heading, Narrowing, Part, Table, notes, rows
from cnncost.render.values import as_data
from cnncost.report.columns import AT_LEAST
from cnncost.report.prediction import Prediction, split_times


def parts(prediction: Prediction) -> Iterator[Part]:
    """Yield a table of the collectives and sentences on the total time; nothing if the model is not split.

    If the bandwidths of the device's links are unknown, only a note that says so is yielded.
    """
    links, device = prediction.links, prediction.roofline.device
    if links is None:
        return
    if links.times is None:
        yield notes(
            f"communication is left out: no source states the links of {device.title}; to include it, define a device "
            "with bandwidths of links, such as links = { nvlink = 450e9 }", hang="",
        )  # fmt: skip
        return
    yield Heading("communication of this rank")
    yield Table(
        (
            Column("phase", "phase"), Column("collective", "collective"), Column("group", "over"),
            Column("ranks", "ranks", "count"), Column("link", "link"), Column("bandwidth", "B/s", "rate"),
            Column("calls", "calls", "count"), Column("bytes", "bytes", "bytes"), Column("seconds", "time", "duration"),
        ),
        rows(links.times), shown="people", apart=False,
        narrowing=(Narrowing(("bandwidth",)), Narrowing(("calls",))),
    )  # fmt: skip
    yield notes(*sentences(prediction), hang="")


def sentences(prediction: Prediction) -> Iterator[str]:
    """Yield sentences on the time with and without overlap, and on how a collective's time is computed.

    Nothing is yielded if the model is not split or the bandwidths of its links are unknown.
    """
    times, links, roofline = split_times(prediction), prediction.links, prediction.roofline
    if times is None or links is None:
        return
    least = AT_LEAST if roofline.partial or not roofline.device.measured else ""
    yield (
        f"not overlapped: {least}{units.duration(times.in_turn)}: "
        f"{AT_LEAST if roofline.partial else ''}{units.duration(times.computing)} of computing, "
        f"which is the total above without collectives, and {units.duration(times.sending)} of sending"
    )
    yield f"overlapped: {least}{units.duration(times.overlapped)}, in each phase the longer of the two"
    yield f"collectives by the {_algorithm(links.topology)}: max(launch, bytes in one direction / bandwidth)"
    yield _assumed_links(links.topology, roofline.device)


def _algorithm(topology: Topology) -> str:
    return "ring" if topology.algorithm == "ring" else "double binary tree (all-reduces) and the ring (all others)"


def _assumed_links(topology: Topology, device: Device) -> str:
    """Return a sentence on the links assumed between ranks and the source of their bandwidths."""
    if topology.link is not None:
        return f"all over {topology.link}, as stated; {device.link_source}"
    node = topology.node or device.node
    nodes = "all ranks on one node" if node is None else f"{node} ranks on a node, neighbours first"
    return (
        f"{nodes}; a group that spans nodes sends through one adapter for each of its ranks on a node, and no faster "
        f"than within a node; {device.link_source}"
    )


def facts(prediction: Prediction) -> dict[str, Any]:
    """Return the communication time as plain data for JSON; empty if the model is not split."""
    links, times = prediction.links, split_times(prediction)
    if links is None:
        return {}
    data: dict[str, Any] = {"topology": links.topology._asdict(), "collectives": None}
    if links.times is not None and times is not None:
        data |= {
            "collectives": [*map(as_data, links.times)],
            "computing_seconds": times.computing, "sending_seconds": times.sending,
            "not_overlapped_seconds": times.in_turn, "overlapped_seconds": times.overlapped,
        }  # fmt: skip
    return {"communication": data}
