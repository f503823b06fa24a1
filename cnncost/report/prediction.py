"""A Report's rows with roofline times, as plain data for the renderers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from cnncost.devices.model import Device
from cnncost.errors import CnncostError, InputError
from cnncost.graph import Graph
from cnncost.passes.links import KIND, LinkTime, Topology, link_times
from cnncost.passes.roofline import OpTime, Predicted, Roofline, roofline
from cnncost.report.data import ReportData
from cnncost.report.naming import unknown_path

By: TypeAlias = Literal["layer", "op", "kind"]


class Row(NamedTuple):
    """A module call (named by its path, with `#2` for a second call), an op or a kind, with its predicted time."""

    name: str
    class_name: str
    predicted: Predicted


class Training(NamedTuple):
    """Assumptions of a training estimate: epochs, examples per epoch, and number of devices."""

    epochs: float
    examples: int
    devices: int = 1


class TrainingEstimate(NamedTuple):
    """Estimated time and energy of training at the device's ceilings.

    `recorded` says whether a training step was recorded; if not, the step is estimated as three forward passes, because
    backward computes two products for each product of forward. `joules` is None if the device's power is unknown.
    """

    steps: float
    step_seconds: float
    recorded: bool
    seconds: float
    joules: float | None


class Links(NamedTuple):
    """The times of a split model's collectives on the links between ranks.

    Attributes:
        topology: how the ranks are linked.
        times: the time of each sort of collective; None if the bandwidths of the device's links are unknown.
        local: by phase, the seconds that the roofline counts for the same collectives, from their traffic in the
            rank's own memory; subtract them when adding the time on the links.
    """

    topology: Topology
    times: tuple[LinkTime, ...] | None
    local: dict[str, float]


class Split(NamedTuple):
    """Predicted seconds of one rank of a split model.

    Attributes:
        computing: the roofline's time without its collectives.
        sending: the collectives' time on the links, one after another.
        in_turn: total if computing and sending don't overlap: their sum.
        overlapped: total if they overlap perfectly: in each phase the longer of the two.
    """

    computing: float
    sending: float
    in_turn: float
    overlapped: float


@dataclass(frozen=True)
class Prediction:
    """A Report and its Roofline.

    Attributes:
        report: the analyzed model's report.
        roofline: the predicted times.
        training: assumptions and result of the training estimate; None unless requested.
        links: the times of collectives on the links between ranks; None if the model is not split.
        step: whether the times are those of the report's training step instead of its forward.
    """

    report: ReportData
    roofline: Roofline
    training: tuple[Training, TrainingEstimate] | None = None
    links: Links | None = None
    step: bool = False

    @property
    def graph(self) -> Graph:
        """The Graph whose ops the times belong to."""
        graph = self.report.training if self.step else self.report.graph
        assert graph is not None  # its times were predicted from it
        return graph

    def __repr__(self) -> str:
        return f"<Prediction of {self.report.model}: {self.roofline!r}>"

    @property
    def per_second(self) -> float | None:
        """Examples per second in the forward pass; None without a batch axis, or if forward takes no time."""
        seconds = forward_time(self.roofline).seconds
        return self.report.batch / seconds if self.report.batch and seconds else None


def predicted(
    report: ReportData, device: Device, dtype: str | None, topology: Topology, step: bool = False
) -> tuple[Roofline, Links | None]:
    """Predict the times of a report's forward or training step, and of its collectives.

    The second result is None if the run has no collectives.

    Args:
        report: the report, with the Graph of the run.
        device: the device.
        dtype: the dtype to compute in; None: as recorded.
        topology: how the ranks of a split model are linked.
        step: use the training step instead of the forward.

    Raises:
        DeviceError: the device has no ceiling for a needed dtype, or no bandwidth for a needed link.
        InputError: the report has no such run, or a topology is given for a model that is not split.
    """
    graph = report.training if step else report.graph
    if graph is None:
        if step and report.graph is not None:
            raise InputError(f"{report.model}: no training step was analyzed; analyze the model with training=True")
        raise InputError(f"{report.model}: a report that was read from a file has no graph; analyze the model itself")
    times = roofline(graph, device, dtype)
    run = "training" if step else "inference"
    if not any(each.run == run for each in report.communication):
        if topology != Topology() and not report.communication:
            raise InputError(f"{report.model}: the model is not split and sends nothing; omit the topology")
        return times, None
    has_links = bool(device.links) or topology.link is not None
    local: dict[str, float] = {}
    for node, time in zip(graph.nodes, times.nodes, strict=True):
        if node.spec.kind == KIND and time is not None:
            local[str(node.phase)] = local.get(str(node.phase), 0.0) + time.seconds
    return times, Links(topology, link_times(graph, device, topology, dtype) if has_links else None, local)


def split_times(prediction: Prediction) -> Split | None:
    """Return the rank's time with and without overlap; None if the model is not split or its links are unknown."""
    if prediction.links is None or prediction.links.times is None:
        return None
    local = prediction.links.local
    phases = prediction.roofline.phases
    computing = {name: max(0.0, each.seconds - local.get(name, 0.0)) for name, each in phases.items()}
    sending: dict[str, float] = {}
    for each in prediction.links.times:
        sending[each.phase] = sending.get(each.phase, 0.0) + each.seconds
    by_phase = [(computing.get(phase, 0.0), sending.get(phase, 0.0)) for phase in {**computing, **sending}]
    compute_total, send_total = sum(a for a, _ in by_phase), sum(b for _, b in by_phase)
    return Split(compute_total, send_total, compute_total + send_total, sum(map(max, by_phase)))


def rows(prediction: Prediction, by: By = "layer") -> list[Row]:
    """Return a row for each module call that takes time, in order, or for each such op or kind, slowest first."""
    roofline = prediction.roofline
    if by == "layer":
        return [row for row in _layers(prediction) if row.predicted.seconds or row.predicted.unknown]
    table = roofline.by_op if by == "op" else roofline.by_kind
    ordered = sorted(table.items(), key=lambda item: (-item[1].seconds, item[0]))
    return [Row(name, "", each) for name, each in ordered if each.seconds or each.unknown]


def _layers(prediction: Prediction) -> list[Row]:
    graph = prediction.graph
    return [
        Row(graph.call_path(call), graph.scopes[graph.calls[call].scope].class_name, each)
        for call, each in sorted(prediction.roofline.by_call.items())
    ]


def top_rows(prediction: Prediction, by: By, top: int | None) -> tuple[list[Row], Row | None]:
    """Return the `top` slowest rows in their original order, and a row that sums the others.

    If there are no others, or `top` is None, all rows and None are returned.
    """
    all_rows = rows(prediction, by)
    if top is None or len(all_rows) <= top:
        return all_rows, None
    slowest = set(sorted(range(len(all_rows)), key=lambda i: -all_rows[i].predicted.seconds)[:top])
    others = [row.predicted for i, row in enumerate(all_rows) if i not in slowest]
    rest = Predicted(*map(sum, zip(*others, strict=True)))
    return [row for i, row in enumerate(all_rows) if i in slowest], Row(f"… {len(others)} more", "", rest)


def forward_time(times: Roofline) -> Predicted:
    """Return the predicted time of the forward phase; zeros if there is none."""
    return times.phases.get("forward", Predicted())


def estimate(prediction: Prediction, training: Training) -> TrainingEstimate:
    """Estimate the time and energy of a whole training run at the device's ceilings.

    Raises:
        CnncostError: the model has no batch axis, or an assumption is not above 0.
    """
    batch, times = prediction.report.batch, prediction.roofline
    if not batch:
        raise CnncostError("training estimate: the first input has no batch axis; give one such as 128x3x224x224")
    for name, value in zip(Training._fields, training, strict=True):
        if not value > 0:
            raise CnncostError(f"training estimate: {name}: expected a number above 0, got {value}")
    recorded = "backward" in times.phases
    step = times.total.seconds if recorded else 3 * times.total.seconds
    steps = training.epochs * training.examples / batch
    seconds = steps * step / training.devices
    power = times.device.power
    return TrainingEstimate(steps, step, recorded, seconds, power * training.devices * seconds if power else None)


def times_of(prediction: Prediction, path: str) -> list[tuple[str, OpTime | None]]:
    """Return (op's name, time or None if unknown) for each op that a module's first call runs itself.

    Raises:
        CnncostError: no module has this path.
    """
    graph = prediction.graph
    if path not in {scope.path for scope in graph.scopes}:
        raise CnncostError(unknown_path(path, [scope.path for scope in graph.scopes]))
    first_calls = {i for i, call in enumerate(graph.calls) if graph.scopes[call.scope].path == path and not call.index}
    nodes = zip(graph.nodes, prediction.roofline.nodes, strict=True)
    return [(node.name, time) for node, time in nodes if node.call in first_calls]
