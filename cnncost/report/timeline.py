"""Turns a Prediction or a Report into a timeline for viewers of traces and flame graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from cnncost.graph import Graph, OpSpec
from cnncost.ops import cost_of
from cnncost.passes.links import KIND, sending
from cnncost.passes.memory import Memory, memory
from cnncost.render.timeline import Counter, Timeline, Track, Unit
from cnncost.render.values import tensors_text
from cnncost.report import heading
from cnncost.report.columns import AT_LEAST
from cnncost.report.data import ReportData
from cnncost.report.link_text import sentences
from cnncost.report.prediction import Prediction, split_times
from cnncost.report.prediction_text import ceilings, footer, formula
from cnncost.report.spans import pieces_of_graph, pieces_of_layers, track
from cnncost.versions import __version__

MAKER = f"cnncost@{__version__}"
"""Name and version of the program that wrote a file, as displayed by viewers."""
NO_RULE = "no rule, not known"
"""Displayed for an op without a rule, whose size is unknown."""


def trace_timeline(prediction: Prediction) -> Timeline:
    """Return a timeline of each op's predicted seconds, and of the bytes of memory alive at each time, by use.

    If the bandwidths of the device's links are known, a split model's collectives take their time on the links, not
    overlapped with computing.
    """
    seconds = _seconds(prediction)
    facts = _Facts(prediction, seconds)
    track = _track(prediction, "seconds", seconds, facts.of)
    return _timeline(prediction, (track,), tuple(_counters(prediction, seconds)))


def flame_graph_timeline(prediction: Prediction) -> Timeline:
    """Return a timeline of three tracks: each op's predicted seconds, FLOPs, and bytes read and written."""
    times = prediction.roofline.nodes
    tracks = (
        _track(prediction, "seconds", _seconds(prediction)),
        _track(prediction, "FLOPs", [None if time is None else time.flops for time in times]),
        _track(prediction, "bytes", [None if time is None else time.nbytes for time in times]),
    )
    return _timeline(prediction, tracks)


def _track(
    prediction: Prediction, quantity: Literal["seconds", "FLOPs", "bytes"], sizes: Sequence[float | None],
    facts: Callable[[int], dict[str, Any]] | None = None,
) -> Track:  # fmt: skip
    roofline, run = prediction.roofline, _run(prediction)
    if quantity != "seconds":
        name, unit = _marked(f"{quantity} of the {run}", bool(roofline.unknown)), _UNITS[quantity]
        return track(name, unit, prediction.report.model, pieces_of_graph(prediction.graph, sizes, facts), NO_RULE)
    incomplete = {i for i, time in enumerate(roofline.nodes) if time is not None and time.missing}
    pieces = pieces_of_graph(prediction.graph, sizes, facts, incomplete)
    communication_left_out = prediction.links is not None and prediction.links.times is None
    computed = "" if roofline.dtype is None else f", computed in {roofline.dtype}"
    bounded = roofline.partial or communication_left_out or not roofline.device.measured
    name = _marked(f"predicted time, {run} on {roofline.device.title}{computed}", bounded)
    return track(name, "seconds", prediction.report.model, pieces, NO_RULE)


_UNITS: dict[str, Unit] = {"FLOPs": "none", "bytes": "bytes"}


def _run(prediction: Prediction) -> str:
    return "training step" if prediction.step else "forward"


def _timeline(prediction: Prediction, tracks: tuple[Track, ...], counters: tuple[Counter, ...] = ()) -> Timeline:
    report, roofline = prediction.report, prediction.roofline
    facts = heading.facts(report) | {
        "run": _run(prediction), "device": roofline.device.title, "dtype": roofline.dtype,
        "ceilings": ceilings(roofline.device, roofline.dtype), "formula": formula(roofline.device),
        "seconds": tracks[0].total, "unknown_ops": roofline.unknown, "unknown_products": roofline.missing,
        "notes": [*footer(prediction), *sentences(prediction), *report.notes],
    }  # fmt: skip
    return Timeline(f"{heading.title(report)}, {heading.inputs(report)}", MAKER, tracks, counters, facts)


def of_report(report: ReportData) -> Timeline:
    """Return a timeline with tracks of MACs, FLOPs, bytes and parameters.

    The innermost spans are ops; in a report read from a file, which has no graph, they are module calls.
    """
    tracks = [_forward_track(report, *each) for each in _QUANTITIES]
    parameters = pieces_of_layers(report, lambda row: row.params, False)
    tracks.append(track("parameters", "none", report.model, parameters, ""))
    if report.training is not None:
        tracks += [_run_track(report, report.training, f"{name} of a training step", unit, size)
                   for name, unit, size in _QUANTITIES]  # fmt: skip
    title = f"{heading.title(report)}, {heading.inputs(report)}"
    return Timeline(title, MAKER, tuple(tracks), facts=heading.facts(report))


def _traffic(each: Any) -> int:
    """Return the bytes read and written of an op's cost, or of a row of the report."""
    return int(each.bytes_read + each.bytes_written) if hasattr(each, "bytes_read") else int(each.read + each.written)


_QUANTITIES: tuple[tuple[str, Unit, Callable[[Any], int]], ...] = (
    ("MACs", "none", lambda each: each.macs),
    ("FLOPs", "none", lambda each: each.flops),
    ("bytes read and written", "bytes", _traffic),
)
"""Name, unit, and a function that reads the quantity from an op's cost or a report's row."""


def _forward_track(report: ReportData, name: str, unit: Unit, size: Callable[[Any], int]) -> Track:
    if report.graph is not None:
        return _run_track(report, report.graph, name, unit, size)
    pieces = pieces_of_layers(report, size, True)
    return track(_marked(name, report.totals.lower_bound), unit, report.model, pieces, report.partial or NO_RULE)


def _run_track(report: ReportData, graph: Graph, name: str, unit: Unit, size: Callable[[Any], int]) -> Track:
    # keyed by id: specs are interned, and hashing one is slow
    sizes = {id(spec): None if (cost := cost_of(spec)) is None else size(cost) for spec in graph.specs}
    by_node = [sizes[id(node.spec)] for node in graph.nodes]
    bounded = None in by_node or graph.failed is not None
    return track(_marked(name, bounded), unit, report.model, pieces_of_graph(graph, by_node), NO_RULE)


def _marked(name: str, bounded: bool) -> str:
    return f"{AT_LEAST} {name}" if bounded else name


def _seconds(prediction: Prediction) -> list[float | None]:
    """Return the predicted seconds of each node; for collectives, the time on the links if it is known."""
    roofline, links = prediction.roofline, prediction.links
    seconds = [None if time is None else time.seconds for time in roofline.nodes]
    if links is None or split_times(prediction) is None:
        return seconds
    by_spec: dict[int, float] = {}

    def link_seconds(spec: OpSpec) -> float:
        if id(spec) not in by_spec:
            by_spec[id(spec)] = sending(spec, roofline.device, links.topology, roofline.dtype).seconds
        return by_spec[id(spec)]

    nodes = prediction.graph.nodes
    return [
        link_seconds(node.spec) if node.spec.kind == KIND else each for node, each in zip(nodes, seconds, strict=True)
    ]  # fmt: skip


class _Facts:
    """Describes ops and how their times are composed, for a viewer's details pane."""

    def __init__(self, prediction: Prediction, seconds: Sequence[float | None]) -> None:
        self.nodes, self.times, self.seconds = prediction.graph.nodes, prediction.roofline.nodes, seconds
        self.linked = split_times(prediction) is not None
        self.shapes: dict[int, dict[str, Any]] = {}

    def of(self, index: int) -> dict[str, Any]:
        """Return the details of a node, by its index."""
        node, time = self.nodes[index], self.times[index]
        details: dict[str, Any] = {"phase": node.phase, **self._shapes(node.spec)}
        if time is None:
            return details
        details |= {"seconds": self.seconds[index], "flops": time.flops, "bytes": time.nbytes}
        if node.spec.kind == KIND and self.linked:
            return details | {"bound": "link"}
        terms = {name: getattr(time, name) for name in ("compute", "memory", "copies", "pages", "launch")}
        details |= {"bound": time.bound, **{f"{name}_seconds": value for name, value in terms.items() if value}}
        return details | ({"left_out": f"compute time: no peak for {time.missing}"} if time.missing else {})

    def _shapes(self, spec: OpSpec) -> dict[str, Any]:
        if id(spec) not in self.shapes:
            inputs, outputs = (tensors_text((t.shape, t.dtype) for t in types) for types in (spec.inputs, spec.outputs))
            self.shapes[id(spec)] = {"kind": spec.kind, "inputs": inputs, "outputs": outputs}
        return self.shapes[id(spec)]


TIMELINES = {"trace": trace_timeline, "speedscope": flame_graph_timeline}
"""The function that builds a prediction's timeline, by output format."""


def _counters(prediction: Prediction, seconds: list[float | None]) -> Iterator[Counter]:
    """Yield the bytes alive while each op runs, for each device if the model is on several."""
    graph, time = prediction.graph, 0.0
    if not graph.nodes:
        return
    starts = []
    for each in seconds:
        starts.append(time)
        time += each or 0.0
    dtype = prediction.roofline.dtype
    recorded = "" if dtype is None else ", as recorded"  # unlike times, bytes are not predicted for another dtype
    if graph.placement is None:
        yield from _memory_counters(f"memory{recorded}", graph, memory(graph), tuple(starts))
        return
    for device, name in enumerate(graph.placement.devices):
        yield from _memory_counters(f"memory of {name}{recorded}", graph, memory(graph, device=device), tuple(starts))


def _memory_counters(name: str, graph: Graph, usage: Memory, starts: tuple[float, ...]) -> Iterator[Counter]:
    mark = f" {AT_LEAST}" if usage.unseen else ""
    yield Counter(f"{name}, total{mark}", starts, {"bytes": usage.timeline})
    by_use = {use: curve for use, curve in usage.curves(graph).items() if any(curve)}
    yield Counter(f"{name}, bytes{mark}", starts, by_use)
