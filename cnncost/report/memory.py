"""What a Report says of memory: bytes by use, and the peaks of inference and of a training step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from cnncost.devices.kernels import kernels as host_kernels
from cnncost.errors import CnncostError, InputError
from cnncost.ops.workspace import Kernels
from cnncost.passes.memory import Memory, memory
from cnncost.passes.workspaces import RawPeak, workspaces

if TYPE_CHECKING:
    from cnncost.graph import Graph
    from cnncost.report.model import Report


class MemoryFigures(NamedTuple):
    """Bytes. Those of a training step are None unless one was analyzed.

    Attributes:
        parameters, buffers, inputs: what is there before the run.
        gradients: of the parameters, after backward.
        optimizer_state: as after a first step.
        activations: what outlives forward, for backward needs it.
        inference_peak, training_peak: most that is alive at once, all of the above and temporaries included.
        inference_ideal_peak, training_ideal_peak: if every tensor died after its last use.
        unseen: ops whose temporaries are not known; where there are any, the peaks are lower bounds.
    """

    parameters: int
    buffers: int
    inputs: int
    gradients: int | None
    optimizer_state: int | None
    activations: int | None
    inference_peak: int
    inference_ideal_peak: int
    training_peak: int | None
    training_ideal_peak: int | None
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportMemory:
    """The figures, and how they come about: `inference` and `training` are None where no Graph is at hand.

    `graphs` are those of both.
    """

    figures: MemoryFigures
    inference: Memory | None
    training: Memory | None
    graphs: tuple[Graph | None, Graph | None] = (None, None)

    @property
    def parameters(self) -> int:
        """Bytes of the parameters."""
        return self.figures.parameters

    @property
    def inference_peak(self) -> int:
        """Most bytes alive at once in a forward without autograd."""
        return self.figures.inference_peak

    @property
    def training_peak(self) -> int:
        """Most bytes alive at once in a training step.

        Raises:
            CnncostError: none was analyzed.
        """
        if self.figures.training_peak is None:
            raise CnncostError(
                "training_peak: no training step was analyzed; expected analyze(model, inputs, training=True)"
            )
        return self.figures.training_peak

    @property
    def inference_peak_with_workspaces(self) -> int:
        """The same with what kernels of this machine's CPU take while they run: an estimate.

        Raises:
            CnncostError: the report was read from a file.
        """
        return self.with_workspaces().nbytes

    @property
    def training_peak_with_workspaces(self) -> int:
        """The same with what kernels of this machine's CPU take while they run: an estimate.

        Raises:
            CnncostError: no training step was analyzed, or the report was read from a file.
        """
        _ = self.training_peak
        return self.with_workspaces(training=True).nbytes

    def with_workspaces(self, kernels: Kernels | int | None = None, training: bool = False) -> RawPeak:
        """The peak with workspaces, estimated.

        Args:
            kernels: which a CPU has, by default this machine's; or bytes that a library of a GPU holds.
            training: of the training step, not of inference.

        Raises:
            CnncostError: the report was read from a file, or there is no such run.
            InputError: neither kernels nor a number of bytes.
        """
        if kernels is not None and not isinstance(kernels, Kernels) and (type(kernels) is not int or kernels < 0):
            raise InputError(
                "with_workspaces: expected cnncost.devices.kernels.kernels('avx2', threads=2) or a number of bytes, "
                f"got {kernels!r}"
            )
        run, graph = (self.training, self.graphs[1]) if training else (self.inference, self.graphs[0])
        if run is None or graph is None:
            raise CnncostError(
                "with_workspaces: nothing to estimate from; expected a report that was just made"
                + (" with training=True" if training else "")
            )
        return workspaces(graph, run.timeline, host_kernels() if kernels is None else kernels)


def memory_of(report: Report) -> ReportMemory:
    """The memory of what was recorded, or as it was saved."""
    if report.graph is None:
        if report.saved_memory is None:
            raise CnncostError(f"{report.model}: the report file holds no memory figures; analyze the model anew")
        return ReportMemory(report.saved_memory, None, None)
    _check_whole(report)
    inference = memory(report.graph)
    training = memory(report.training) if report.training is not None else None
    held, step = inference.by_use, training.by_use if training is not None else None
    figures = MemoryFigures(
        held["parameters"],
        held["buffers"],
        held["inputs"],
        step["gradients"] if step is not None else None,
        step["optimizer state"] if step is not None else None,
        step["activations"] if step is not None else None,
        inference.peak.nbytes,
        inference.ideal_peak,
        training.peak.nbytes if training is not None else None,
        training.ideal_peak if training is not None else None,
        tuple(sorted({*inference.unseen, *(training.unseen if training is not None else ())})),
    )
    return ReportMemory(figures, inference, training, (report.graph, report.training))


def _check_whole(report: Report) -> None:
    """Raise CnncostError for a forward that failed: what it would have held after that is not known."""
    if report.partial:
        raise CnncostError(
            f"{report.model}: no memory figures, for they need the whole forward ({report.partial.split(':')[0]}); "
            "mend that, and analyze the model again"
        )


def with_memory(report: Report) -> Report:
    """The report with the columns allocated and saved filled; a call of a training step is found by its label."""
    graph = report.training or report.graph
    if graph is None:
        raise CnncostError(f"{report.model}: the report was read from a file and has no graph; analyze the model anew")
    _check_whole(report)
    found = memory(graph).by_call
    by_label = {graph.call_path(call): each for call, each in found.items()}
    layers = []
    for layer in report.layers:
        allocated, saved = by_label.pop(layer.label, (0, 0)) if layer.call else (0, 0)
        layers.append(replace(layer, allocated=allocated, saved=saved))
    sums = [sum(getattr(layer, name) for layer in layers) for name in ("allocated", "saved")]
    return replace(report, layers=tuple(layers), totals=replace(report.totals, allocated=sums[0], saved=sums[1]))
