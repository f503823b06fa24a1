"""Analysis results as plain frozen data, and values derived from them. Independent of renderers."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeVar

from cnncost.errors import CnncostError
from cnncost.garbage import gc_disabled
from cnncost.graph import Graph, Shape
from cnncost.passes.communication import Exchange
from cnncost.passes.placement import Link
from cnncost.report.brief import Rows
from cnncost.report.memory import MemoryFigures, ReportMemory, memory_of
from cnncost.report.naming import unknown_path, without_row
from cnncost.report.placement import OnDevice
from cnncost.report.rows import FurtherColumn, Layer, Module, Op, PhaseCost, Spans, Totals
from cnncost.report.schema import absent_columns, statistics
from cnncost.report.tree import biggest, module_tree

if TYPE_CHECKING:
    from cnncost.passes.receptive_field import ReceptiveFields

SomeReport = TypeVar("SomeReport", bound="ReportData")

OF_STEP = "the training step is of "
"""Prefix of notes on data that a training step depends on and forward does not."""


@dataclass(frozen=True)
class ReportData:
    """Results of an analysis.

    Attributes:
        model: name of the model, as passed by the caller, or its class.
        inputs: shapes and dtypes of the inputs, in order.
        input_names: names of the keyword arguments, one for each input; empty if inputs are positional.
        batch: number of examples that all numbers are for; None if that is unknown.
        totals: the whole model.
        layers: one row per module call that ran ops (and for leaves and modules with parameters), in order, followed
            by modules that were never called; numeric columns add up to the totals.
        ops: one row per op, most MACs first.
        unknown: op → count, for ops that no rule counts; empty if every op is counted.
        unknown_places: op → path of the module that ran it first.
        tree: path, class and number of calls of every module, in the model's order.
        container_shapes: module path → shapes of the tensors that its last call returned, for modules whose last
            call has no row.
        container_inputs: the same for the tensors passed to that call; empty unless requested.
        further: columns that were requested with `with_columns`.
        param_dtypes: number of parameters by dtype.
        phases: costs of a training step's phases, if one was analyzed.
        graph, training: the recorded Graphs of forward and of a training step (None if none was recorded); both are
            None for a report read from a file.
        fields: receptive fields of each module's first call, by path; empty unless requested.
        saved_memory: memory figures of a report read from a file; None if they are computed from `graph`.
        run_on: description of the data source if real data was used; usually empty.
        reads: how often forward read a value that depends on the inputs, in a run on real data.
        notes: remarks on how the results were obtained, if any.
        communication: the bytes that this rank of a split model sends and receives, in inference and in training.
        devices: for a model on several devices, the figures of each; else empty.
        links: the copies between these devices, by run, phase and pair of devices.
        mac_dtypes: multiply-accumulates by operand dtype; those of integers are not FLOPs.
        examples: number of examples if the input is a list of examples, else None.
        mask_tile: (queries, keys) of the tiles that `macs_unmasked` skips; empty: single pairs, or not requested.
        partial: describes where forward failed; empty if it finished. The figures then cover the ops before
            the failure.
        made_with: versions of the packages that made the report, by package name.
        assumed: ops whose user-defined rule covers forward only: backward is assumed to cost twice as much.
    """

    model: str
    inputs: tuple[tuple[Shape, str], ...]
    totals: Totals
    layers: tuple[Layer, ...]
    ops: tuple[Op, ...]
    unknown: dict[str, int]
    unknown_places: dict[str, str]
    tree: tuple[tuple[str, str, int], ...]
    param_dtypes: dict[str, int]
    phases: tuple[PhaseCost, ...] = ()
    # a field with a default_factory may be missing in a saved report: older versions did not write it
    input_names: tuple[str, ...] = field(default_factory=tuple)
    container_shapes: dict[str, tuple[Shape, ...]] = field(default_factory=dict)
    container_inputs: dict[str, tuple[Shape, ...]] = field(default_factory=dict)
    further: tuple[FurtherColumn, ...] = field(default_factory=tuple)
    fields: dict[str, Spans] = field(default_factory=dict)
    graph: Graph | None = field(default=None, repr=False, compare=False)
    training: Graph | None = field(default=None, repr=False, compare=False)
    saved_memory: MemoryFigures | None = field(default=None, repr=False, compare=False)
    run_on: str = ""
    reads: int = 0
    examples: int | None = None
    mask_tile: tuple[int, ...] = field(default_factory=tuple)
    mac_dtypes: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default_factory=tuple)
    communication: tuple[Exchange, ...] = field(default_factory=tuple)
    devices: tuple[OnDevice, ...] = field(default_factory=tuple)
    links: tuple[Link, ...] = field(default_factory=tuple)
    partial: str = field(default_factory=str)
    assumed: tuple[str, ...] = field(default_factory=tuple)
    made_with: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("layers", "ops", "phases"):
            if type(rows := getattr(self, name)) is not Rows:
                object.__setattr__(self, name, Rows(rows))  # because the dataclass is frozen

    def copy_for(self, model: str, graph: Graph | None) -> Self:
        """Return a copy for an equal Graph under another model name; it shares no mutable data with this report."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        dicts: dict[str, Any] = {name: value.copy() for name, value in values.items() if isinstance(value, dict)}
        return replace(self, model=model, graph=graph, **dicts)

    @property
    def batch(self) -> int | None:
        """Number of examples per run: the length of an input list, or the first axis of the first input with axes."""
        if self.examples is not None:
            return self.examples
        return next((shape[0] for shape, _ in self.inputs if shape), None)

    @property
    def depends_on(self) -> tuple[str, ...]:
        """Descriptions of what figures depend on besides input shapes: a run's data, random numbers; often empty."""
        origins = [f"run on {self.run_on}"] if self.run_on else []
        return (*origins, *(note for note in self.notes if note.startswith(OF_STEP)))

    @cached_property
    def modules(self) -> tuple[Module, ...]:
        """The module tree, each module including its descendants; the first is the model, with the totals."""
        shapes = {"": self.totals.output_shapes, **self.container_shapes}
        input_shapes = (
            None if self.totals.input_shapes is None else {"": self.totals.input_shapes, **self.container_inputs}
        )
        return Rows(module_tree(self.layers, self.tree, self.totals, self.fields, shapes, input_shapes))

    @cached_property
    def biggest(self) -> Layer | None:
        """The module with the most MACs of its own, then the most FLOPs, then the first; None if none has FLOPs.

        It is the row of the module's first call, with MACs, FLOPs and bytes summed over all its calls, as in the tree.
        """
        return biggest(self.layers)

    @cached_property
    def memory(self) -> ReportMemory:
        """Bytes by use, and the peaks of inference and of a training step.

        Raises:
            CnncostError: the report was read from a file that lacks them.
        """
        return memory_of(self.model, self.graph, self.training, self.partial, self.saved_memory)

    def layer(self, path: str) -> Layer:
        """Return the row of a module's first call: the ops that it runs itself, without its children's.

        Raises:
            CnncostError: no module has this path, or the module has no row because it runs no op itself; the message
                suggests similar paths, or where to find its numbers.
        """
        for row in self.layers:
            if row.path == path:
                return row
        paths = [p for p, _, _ in self.tree]
        if path in paths:
            raise CnncostError(without_row(path, [row.path for row in self.layers]))
        raise CnncostError(unknown_path(path, paths))

    def module(self, path: str) -> Module:
        """Return a module's row, including its descendants. Raises CnncostError if no module has this path."""
        for row in self.modules:
            if row.path == path:
                return row
        raise CnncostError(unknown_path(path, [p for p, _, _ in self.tree]))

    @cached_property
    def receptive_fields(self) -> ReceptiveFields:
        """The receptive fields of all module calls, computed on first access.

        Raises:
            CnncostError: the report was read from a file.
        """
        from cnncost.passes.receptive_field import receptive_fields  # not needed for a table

        if self.graph is None:
            raise CnncostError(
                f"{self.model}: a report that was read from a file has no graph; analyze the model again"
            )
        with gc_disabled():
            return receptive_fields(self.graph)

    def log_dict(self, prefix: str = "complexity/") -> dict[str, int]:
        """Return the totals as a flat dict, for an experiment tracker: `wandb.log(report.log_dict())`."""
        # statistics with an `after` are properties, not fields
        derived = {name for name, about in statistics(Totals).items() if about.after} - absent_columns(self.totals)
        names = [*[f.name for f in fields(self.totals)], *[name for name in statistics(Totals) if name in derived]]
        figures = {name: value for name in names if type(value := getattr(self.totals, name)) is int}
        figures["unknown_ops"] = sum(self.unknown.values())
        return {prefix + name: value for name, value in figures.items()}
