"""A Report with roofline times for its rows: plain data for the renderers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from cnncost.errors import CnncostError
from cnncost.passes.roofline import OpTime, Predicted, Roofline
from cnncost.report.data import ReportData
from cnncost.report.naming import unknown_path

By: TypeAlias = Literal["layer", "op", "kind"]


class Row(NamedTuple):
    """A row: a module call by its label, or an op or kind by its name, with its prediction."""

    name: str
    class_name: str
    predicted: Predicted


class Training(NamedTuple):
    """Inputs of a training estimate: epochs, examples per epoch, and devices."""

    epochs: float
    examples: int
    devices: int = 1


class TrainingEstimate(NamedTuple):
    """Estimated time and energy of training at the device's ceilings.

    `recorded`: whether the step was recorded; otherwise it is taken as three forward passes (backward computes
    two products for each one of forward). `joules` is None if the device's power is unknown.
    """

    steps: float
    step_seconds: float
    recorded: bool
    seconds: float
    joules: float | None


@dataclass(frozen=True)
class Prediction:
    """A Report and its Roofline.

    Attributes:
        report: the analyzed model's report.
        roofline: the times.
        training: inputs and result of the training estimate, if requested.
    """

    report: ReportData
    roofline: Roofline
    training: tuple[Training, TrainingEstimate] | None = None

    def __repr__(self) -> str:
        return f"<Prediction of {self.report.model}: {self.roofline!r}>"

    @property
    def per_second(self) -> float | None:
        """Examples per second in the forward pass, or None without a batch axis."""
        seconds = forward(self.roofline).seconds
        return self.report.batch / seconds if self.report.batch and seconds else None


def rows(prediction: Prediction, by: By = "layer") -> list[Row]:
    """A row for each module call that takes time, in order, or for each op or kind, slowest first."""
    found = prediction.roofline
    if by == "layer":
        return [row for row in _layers(prediction) if row.predicted.seconds]
    table = found.by_op if by == "op" else found.by_kind
    ordered = sorted(table.items(), key=lambda item: (-item[1].seconds, item[0]))
    return [Row(name, "", each) for name, each in ordered if each.seconds]


def _layers(prediction: Prediction) -> list[Row]:
    graph = prediction.report.graph
    assert graph is not None
    return [
        Row(graph.call_path(call), graph.scopes[graph.calls[call].scope].class_name, each)
        for call, each in sorted(prediction.roofline.by_call.items())
    ]


def chosen(prediction: Prediction, by: By, top: int | None) -> tuple[list[Row], Row | None]:
    """All rows, or the `top` slowest in original order, and a row with the sum of the others."""
    found = rows(prediction, by)
    if top is None or len(found) <= top:
        return found, None
    slowest = set(sorted(range(len(found)), key=lambda i: -found[i].predicted.seconds)[:top])
    others = [row.predicted for i, row in enumerate(found) if i not in slowest]
    rest = Predicted(*map(sum, zip(*others, strict=True)))
    return [row for i, row in enumerate(found) if i in slowest], Row(f"… {len(others)} more", "", rest)


def forward(found: Roofline) -> Predicted:
    """The forward pass alone."""
    return found.phases.get("forward", Predicted())


def estimate(prediction: Prediction, training: Training) -> TrainingEstimate:
    """Time and energy of training at the ceilings.

    Raises:
        CnncostError: the model has no batch axis, or an input is not above 0.
    """
    batch, found = prediction.report.batch, prediction.roofline
    if not batch:
        raise CnncostError("training estimate: the first input has no batch axis; give one such as 128x3x224x224")
    for name, value in zip(Training._fields, training, strict=True):
        if not value > 0:
            raise CnncostError(f"training estimate: {name}: expected a number above 0, got {value}")
    recorded = "backward" in found.phases
    step = found.total.seconds if recorded else 3 * found.total.seconds
    steps = training.epochs * training.examples / batch
    seconds = steps * step / training.devices
    power = found.device.power
    return TrainingEstimate(steps, step, recorded, seconds, power * training.devices * seconds if power else None)


def times_of(prediction: Prediction, path: str) -> list[tuple[str, OpTime]]:
    """The ops that a module's first call runs itself, with their times.

    Raises:
        CnncostError: no module of this path.
    """
    graph = prediction.report.graph
    assert graph is not None
    if path not in {scope.path for scope in graph.scopes}:
        raise CnncostError(unknown_path(path, [scope.path for scope in graph.scopes]))
    return [
        (node.name, time)
        for node, time in zip(graph.nodes, prediction.roofline.nodes, strict=True)
        if time is not None and graph.call_path(node.call) == path
    ]
