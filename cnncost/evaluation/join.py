"""Joining a prediction and a measurement: by network and case, and within one by the module call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from cnncost.analysis import analyze
from cnncost.bench.backend import TORCH_DTYPES
from cnncost.bench.result import Case, NetworkTiming
from cnncost.devices.model import Device
from cnncost.evaluation.figures import error
from cnncost.evaluation.memory import predicted_peak
from cnncost.passes.roofline import Predicted, Roofline, roofline
from cnncost.report.data import ReportData
from cnncost.report.further import place
from cnncost.report.prediction import Prediction
from cnncost.sources.resolve import Resolved, Trace, resolve


class LayerRow(NamedTuple):
    """A module call: its prediction and its measured seconds, None where one of them lacks it."""

    path: str
    call: int
    class_name: str
    kind: str
    predicted: Predicted | None
    measured: float | None

    @property
    def label(self) -> str:
        """The path, with `#2` for a second call."""
        return self.path + (f"#{self.call}" if self.call > 1 else "")


@dataclass(frozen=True)
class Joined:
    """A network in one case, predicted and measured.

    Attributes:
        measured: the benchmark's row.
        prediction: the analysis with its roofline, or None if it could not be made; `problem` says why.
        step: with training, the roofline of forward and backward.
        layers: by module call, in order.
        predicted_memory: bytes at the predicted peak; None where the Report does not say.
    """

    measured: NetworkTiming
    prediction: Prediction | None
    problem: str = ""
    step: Roofline | None = None
    layers: tuple[LayerRow, ...] = ()
    predicted_memory: int | None = None

    @property
    def name(self) -> str:
        """The network's name."""
        return self.measured.model

    @property
    def case(self) -> Case:
        """How it was run."""
        return self.measured.case

    @property
    def report(self) -> ReportData | None:
        """The analysis."""
        return self.prediction.report if self.prediction else None

    @property
    def _total(self) -> Predicted | None:
        if self.step is not None:
            return self.step.total
        return self.prediction.roofline.total if self.prediction is not None else None

    @property
    def predicted_seconds(self) -> float | None:
        """Of one run: forward, or with training forward and backward."""
        return self._total.seconds if self._total is not None else None

    @property
    def flops(self) -> int | None:
        """Of one run, as `predicted_seconds`."""
        return self._total.flops if self._total is not None else None

    @property
    def nbytes(self) -> int | None:
        """Moved in one run, as `predicted_seconds`."""
        return self._total.nbytes if self._total is not None else None

    @property
    def seconds(self) -> float | None:
        """Measured: the median."""
        return self.measured.timing.median if self.measured.timing else None

    @property
    def error(self) -> float | None:
        """The prediction's error, relative to the measured time."""
        if self.seconds is None or self.predicted_seconds is None:
            return None
        return error(self.predicted_seconds, self.seconds)

    @property
    def per_second(self) -> float | None:
        """Examples a second."""
        batch = self.case.batch or (self.report.batch if self.report else None)
        return batch / self.seconds if batch and self.seconds else None

    @property
    def gap(self) -> float | None:
        """What the layers' seconds lack, or have too much, of the plain time: a share of it. In training, forward's."""
        if not self.measured.layers or not self.seconds:
            return None
        return sum(self.measured.layers.values()) / self.seconds - 1

    def share(self, kind: str) -> tuple[float, float, float, float] | None:
        """Shares of the layers of a kind: in parameters, MACs, predicted and measured time; None without layers."""
        report = self.report
        times = [row for row in self.layers if row.measured is not None and row.predicted is not None]
        if report is None or not times or not report.totals.macs or not report.totals.params:
            return None
        of = [row for row in report.layers if row.kind == kind]
        mine = [row for row in times if row.kind == kind]
        return (
            sum(row.params for row in of) / report.totals.params,
            sum(row.macs for row in of) / report.totals.macs,
            sum(row.predicted.seconds for row in mine if row.predicted)
            / sum(row.predicted.seconds for row in times if row.predicted),
            sum(row.measured or 0.0 for row in mine) / sum(row.measured or 0.0 for row in times),
        )


def predicted(
    resolved: Resolved, case: Case, device: Device, trace: Trace = "static"
) -> tuple[Prediction, Roofline | None]:
    """The prediction of a case: of a forward, and of a training step if the case is one.

    Raises:
        CnncostError: the model can't be analyzed, or the device has no ceiling for the number format.
    """
    prepared = resolve(resolved, batch=case.batch)
    if not prepared.source.built:  # as it is measured; memory depends on it. Also back: cases share the model
        prepared = prepared.to(TORCH_DTYPES[case.dtype])
    report = analyze(prepared, training=case.training, trace=trace)
    assert report.graph is not None
    computed = None if case.dtype == "float32" else case.dtype
    step = roofline(report.training, device, computed) if report.training is not None else None
    return Prediction(report, roofline(report.graph, device, computed)), step


def join(
    measured: NetworkTiming, prediction: Prediction | None, step: Roofline | None = None, problem: str = ""
) -> Joined:
    """Join a prediction with a measurement."""
    if prediction is None:
        return Joined(measured, None, problem)
    peak = predicted_peak(prediction.report, training=measured.case.training)
    return Joined(measured, prediction, problem, step, tuple(_layers(measured, prediction)), peak)


def _layers(measured: NetworkTiming, prediction: Prediction) -> list[LayerRow]:
    """The analysis' rows in their order, each with the seconds of its module call; then what only the benchmark saw."""
    graph = prediction.report.graph
    assert graph is not None
    by_call = {place(graph, call): each for call, each in prediction.roofline.by_call.items()}
    rows, seen = [], set()
    for layer in prediction.report.layers:
        if not layer.call:
            continue
        where = layer.path, layer.call
        seen.add(where)
        rows.append(LayerRow(*where, layer.class_name, layer.kind, by_call.get(where), measured.layers.get(where)))
    more = [LayerRow(*where, "", "", None, seconds) for where, seconds in measured.layers.items() if where not in seen]
    return rows + more
