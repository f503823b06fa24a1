"""Joins predictions with measurements: a network in one case (batch, dtype, mode), and its layers by module call."""

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
    """A module call with its predicted and its measured seconds; either is None if unknown."""

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


class Share(NamedTuple):
    """The share of some layers in a network's parameters, MACs, predicted and measured time, as fractions."""

    params: float
    macs: float
    predicted: float
    measured: float


@dataclass(frozen=True)
class Joined:
    """A network in one case, predicted and measured.

    Attributes:
        measured: the benchmark's row.
        prediction: the analysis, with the roofline of forward; None if it failed.
        problem: why there is no prediction; empty if there is one.
        step: the roofline of a training step (forward and backward); None if the case is inference.
        layers: a row for each module call, in order; empty without a prediction.
        predicted_memory: bytes at the predicted peak; None if unknown.
        memory_partial: whether these leave out what an op allocates while it runs, because it is not known.
    """

    measured: NetworkTiming
    prediction: Prediction | None
    problem: str = ""
    step: Roofline | None = None
    layers: tuple[LayerRow, ...] = ()
    predicted_memory: int | None = None
    memory_partial: bool = False

    @property
    def name(self) -> str:
        """The network's name."""
        return self.measured.model

    @property
    def case(self) -> Case:
        """The case: batch size, dtype and mode."""
        return self.measured.case

    @property
    def report(self) -> ReportData | None:
        """The Report of the analysis; None if it failed."""
        return self.prediction.report if self.prediction else None

    @property
    def _total(self) -> Predicted | None:
        if self.step is not None:
            return self.step.total
        return self.prediction.roofline.total if self.prediction is not None else None

    @property
    def predicted_seconds(self) -> float | None:
        """Predicted seconds of one run: of forward, or of a whole training step."""
        return self._total.seconds if self._total is not None else None

    @property
    def unknown_ops(self) -> int:
        """Number of ops of the same run whose time, or compute time, is unknown: the prediction leaves them out."""
        return self._total.unknown if self._total is not None else 0

    @property
    def leaves_out_ops(self) -> bool:
        """Whether FLOPs and bytes of the same run leave out ops, too."""
        return self._total is not None and self._total.leaves_out_ops

    @property
    def flops(self) -> int | None:
        """FLOPs of the same run as `predicted_seconds`."""
        return self._total.flops if self._total is not None else None

    @property
    def nbytes(self) -> int | None:
        """Bytes read and written in the same run as `predicted_seconds`."""
        return self._total.nbytes if self._total is not None else None

    @property
    def seconds(self) -> float | None:
        """Median of the measured seconds of one run; None if not measured."""
        return self.measured.timing.median if self.measured.timing else None

    @property
    def error(self) -> float | None:
        """Relative error of the predicted time: 0.1 means 10 % too long. None without a prediction or measurement."""
        if self.seconds is None or self.predicted_seconds is None:
            return None
        return error(self.predicted_seconds, self.seconds)

    @property
    def per_second(self) -> float | None:
        """Measured examples per second."""
        batch = self.case.batch or (self.report.batch if self.report else None)
        return batch / self.seconds if batch and self.seconds else None

    @property
    def gap(self) -> float | None:
        """Sum of the layers' measured seconds divided by the measured end-to-end seconds, minus 1; None if unknown.

        In a training step, the layers' seconds are those of forward alone.
        """
        if not self.measured.layers or not self.seconds:
            return None
        return sum(self.measured.layers.values()) / self.seconds - 1

    def share(self, kind: str) -> Share | None:
        """Return the share of the layers of a kind; None without timed layers, or without MACs or parameters."""
        report = self.report
        times = [row for row in self.layers if row.measured is not None and row.predicted is not None]
        if report is None or not times or not report.totals.macs or not report.totals.params:
            return None
        layers = [row for row in report.layers if row.kind == kind]
        times_of_kind = [row for row in times if row.kind == kind]
        return Share(
            params=sum(row.params for row in layers) / report.totals.params,
            macs=sum(row.macs for row in layers) / report.totals.macs,
            predicted=sum(row.predicted.seconds for row in times_of_kind if row.predicted)
            / sum(row.predicted.seconds for row in times if row.predicted),
            measured=sum(row.measured or 0.0 for row in times_of_kind) / sum(row.measured or 0.0 for row in times),
        )


def predict(
    resolved: Resolved, case: Case, device: Device, trace: Trace = "static"
) -> tuple[Prediction, Roofline | None]:
    """Predict a case: forward and, if the case is training, the training step (else None).

    Raises:
        CnncostError: the model can't be analyzed, or the device has no ceiling for the number format.
    """
    prepared = resolve(resolved, batch=case.batch)
    if not prepared.source.built:
        # cast to the measured dtype, even to float32, because an earlier case may have cast the shared model
        prepared = prepared.to(TORCH_DTYPES[case.dtype])
    report = analyze(prepared, training=case.training, trace=trace)
    assert report.graph is not None
    dtype = None if case.dtype == "float32" else case.dtype  # None: as recorded
    step = roofline(report.training, device, dtype) if report.training is not None else None
    return Prediction(report, roofline(report.graph, device, dtype)), step


def join(
    measured: NetworkTiming, prediction: Prediction | None, step: Roofline | None = None, problem: str = ""
) -> Joined:
    """Join a measurement with its prediction, or with the reason why there is none."""
    if prediction is None:
        return Joined(measured, None, problem)
    peak = predicted_peak(prediction.report, training=measured.case.training)
    partial = peak is not None and bool(prediction.report.memory.figures.unseen)
    return Joined(measured, prediction, problem, step, tuple(_layers(measured, prediction)), peak, partial)


def _layers(measured: NetworkTiming, prediction: Prediction) -> list[LayerRow]:
    """Return the module calls of the analysis with their measured seconds, then those that only the benchmark timed."""
    graph = prediction.report.graph
    assert graph is not None
    by_call = {place(graph, call): each for call, each in prediction.roofline.by_call.items()}
    rows, seen = [], set()
    for layer in prediction.report.layers:
        if not layer.call:
            continue
        key = layer.path, layer.call
        seen.add(key)
        rows.append(LayerRow(*key, layer.class_name, layer.kind, by_call.get(key), measured.layers.get(key)))
    only_timed = [LayerRow(*key, "", "", None, seconds) for key, seconds in measured.layers.items() if key not in seen]
    return rows + only_timed
