"""Memory figures of a Report: bytes by use, and the peaks of inference and of a training step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from cnncost import units
from cnncost.devices.kernels import kernels as host_kernels
from cnncost.errors import CnncostError, InputError
from cnncost.ops.workspace import Kernels
from cnncost.passes.memory import Memory, memory
from cnncost.passes.workspaces import RawPeak, workspaces
from cnncost.report.brief import table
from cnncost.reprs import line

if TYPE_CHECKING:
    from cnncost.graph import Graph


class MemoryFigures(NamedTuple):
    """Memory figures in bytes. Figures of a training step are None unless one was analyzed.

    Attributes:
        parameters, buffers, inputs: bytes allocated before the run.
        gradients: bytes of parameter gradients after backward.
        optimizer_state: bytes of the optimizer's state after its first step.
        activations: bytes of tensors allocated in forward that outlive it: saved for backward, or returned.
        inference_peak, training_peak: most bytes alive at once, including all of the above and temporaries.
        inference_ideal_peak, training_ideal_peak: the peaks if activations and temporaries were freed after
            their last use.
        unseen: ops with unknown temporaries; if there are any, the peaks are lower bounds.
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

    def __repr__(self) -> str:
        mark = ">=" if self.unseen else ""
        training = "" if self.training_peak is None else f", of training {mark}{self.training_peak:,} bytes"
        return line(self, f"peak of inference {mark}{self.inference_peak:,} bytes{training}")


@dataclass(frozen=True, slots=True)
class ReportMemory:
    """Memory of inference and of a training step.

    Attributes:
        figures: the figures in bytes.
        inference, training: details of each run; None if the report was read from a file or the run was not analyzed.
        graphs: the Graphs of inference and of the training step; None under the same conditions.
    """

    figures: MemoryFigures
    inference: Memory | None
    training: Memory | None
    graphs: tuple[Graph | None, Graph | None] = (None, None)

    def __repr__(self) -> str:
        peaks = [f"inference peak {self._peak(self.figures.inference_peak)}"]
        if self.figures.training_peak is not None:
            peaks.append(f"training peak {self._peak(self.figures.training_peak)}")
        return f"<ReportMemory: parameters {units.data(self.parameters)}, {', '.join(peaks)}>"

    def _repr_html_(self) -> str:
        """The figures as a table."""
        named = [(name, n) for name, n in self.figures._asdict().items() if type(n) is int]
        rows = [(name.replace("_", " "), self._peak(n) if "peak" in name else units.data(n), units.exact(n))
                for name, n in named]  # fmt: skip
        unseen = ", ".join(self.figures.unseen)
        return table(
            "Memory", ("", "", "bytes"), rows, f"lower bounds: temporaries of {unseen} are unknown" if unseen else ""
        )

    def _peak(self, nbytes: int) -> str:
        return (">=" if self.figures.unseen else "") + units.data(nbytes)

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
        """`inference_peak` plus the memory that this CPU's kernels allocate while they run, in bytes: an estimate.

        Raises:
            CnncostError: the report was read from a file.
        """
        return self.with_workspaces().nbytes

    @property
    def training_peak_with_workspaces(self) -> int:
        """`training_peak` plus the memory that this CPU's kernels allocate while they run, in bytes: an estimate.

        Raises:
            CnncostError: no training step was analyzed, or the report was read from a file.
        """
        _ = self.training_peak  # raises if no training step was analyzed
        return self.with_workspaces(training=True).nbytes

    def with_workspaces(self, kernels: Kernels | int | None = None, training: bool = False) -> RawPeak:
        """Estimate the peak with workspaces: memory that kernels allocate while they run.

        Args:
            kernels: a CPU's kernels, by default this machine's, or the bytes of workspace that a GPU library reserves.
            training: use the training step instead of inference.

        Raises:
            CnncostError: the report was read from a file, or the run was not analyzed.
            InputError: `kernels` is neither Kernels nor a number of bytes.
        """
        if kernels is not None and not isinstance(kernels, Kernels) and (type(kernels) is not int or kernels < 0):
            raise InputError(
                "with_workspaces: expected cnncost.devices.kernels.kernels('avx2', threads=2) or a number of bytes, "
                f"got {kernels!r}"
            )
        run, graph = (self.training, self.graphs[1]) if training else (self.inference, self.graphs[0])
        if run is None or graph is None:
            raise CnncostError(
                "with_workspaces: the report has no Graph of this run to estimate from; analyze the model itself"
                + (" with training=True" if training else "")
            )
        return workspaces(graph, run.timeline, host_kernels() if kernels is None else kernels)


def memory_of(
    model: str, graph: Graph | None, step: Graph | None, failed: str, saved: MemoryFigures | None
) -> ReportMemory:
    """Return the memory figures of the recorded Graphs, or the saved figures.

    Args:
        model: the model's name in the report.
        graph: the forward Graph.
        step: the Graph of a training step, if one was recorded.
        failed: where forward failed, or empty.
        saved: the figures of a report read from a file.

    Raises:
        CnncostError: there is neither a Graph nor saved figures, or forward failed.
    """
    if graph is None:
        if saved is None:
            raise CnncostError(f"{model}: the report file holds no memory figures; analyze the model again")
        return ReportMemory(saved, None, None)
    require_whole_forward(model, failed)
    inference = memory(graph)
    training = memory(step) if step is not None else None
    use = inference.by_use
    figures = MemoryFigures(
        parameters=use["parameters"], buffers=use["buffers"], inputs=use["inputs"],
        gradients=None, optimizer_state=None, activations=None,
        inference_peak=inference.peak.nbytes, inference_ideal_peak=inference.ideal_peak,
        training_peak=None, training_ideal_peak=None, unseen=tuple(sorted(inference.unseen)),
    )  # fmt: skip
    if training is not None:
        use = training.by_use
        figures = figures._replace(
            gradients=use["gradients"], optimizer_state=use["optimizer state"], activations=use["activations"],
            training_peak=training.peak.nbytes, training_ideal_peak=training.ideal_peak,
            unseen=tuple(sorted({*inference.unseen, *training.unseen})),
        )  # fmt: skip
    return ReportMemory(figures, inference, training, (graph, step))


def require_whole_forward(model: str, failed: str) -> None:
    """Raise CnncostError if forward failed, because later allocations are unknown."""
    if failed:
        raise CnncostError(
            f"{model}: no memory figures: they need a complete forward ({failed.split(':', maxsplit=1)[0]}); "
            "fix that and analyze the model again"
        )
