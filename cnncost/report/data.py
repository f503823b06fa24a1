"""What an analysis found, as plain frozen data, and what follows from it. Knows no renderer."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self, TypeVar

from cnncost.errors import CnncostError
from cnncost.garbage import no_collection
from cnncost.graph import Graph, Shape
from cnncost.report.memory import MemoryFigures, ReportMemory, memory_of
from cnncost.report.naming import unknown_path, without_row
from cnncost.report.rows import Layer, Module, Op, PhaseCost, Spans, Totals
from cnncost.report.schema import statistics
from cnncost.report.tree import biggest, module_tree

if TYPE_CHECKING:
    from cnncost.passes.receptive_field import ReceptiveFields

SomeReport = TypeVar("SomeReport", bound="ReportData")


@dataclass(frozen=True)
class ReportData:
    """What an analysis found.

    Attributes:
        model: name of the model, as asked for or its class.
        inputs: shapes and dtypes of the inputs, in order.
        batch: the first axis of the first input: all numbers are for this many examples.
        totals: the whole model.
        layers: one row a module call, in order; numeric columns add up to the totals.
        ops: by op, most MACs first.
        unknown: op → how often, for ops without a rule; empty when every op is accounted for.
        unknown_places: op → path of the module in which it ran first.
        tree: path, class and calls of every module, in the model's own order.
        phases: of a training step, if one was analyzed.
        graph, training: what was recorded, of forward and of a training step; None for a report that was read from a
            file.
        fields: receptive fields by module path, of the first call; empty unless asked for.
        run_on: of a run on values, where these came from; empty where there were none, as is the rule.
        reads: how often that run's forward read a value that follows from the inputs.
        notes: sentences on how the figures were found, where there is something to say.
        mac_dtypes: multiply-accumulates by what is multiplied: `int8` ones are no FLOPs.
        examples: how many, where the inputs are a list of them; None where an axis tells.
        mask_tile: queries and keys of the tiles by which `macs_unmasked` skips; empty: pair by pair, or not asked for.
        partial: of a forward that failed, a sentence that says where; empty if it came to its end. The figures are of
            what ran before.
        made_with: the versions of cnncost and torch, by their names.
        assumed: what a rule of the user's states the forward of alone: its backward is taken to be twice as much.
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
    partial: str = field(default_factory=str)
    assumed: tuple[str, ...] = field(default_factory=tuple)
    made_with: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def again(self, model: str, graph: Graph | None) -> Self:
        """The same for a Graph that is equal, under another name; nothing that can be changed is shared."""
        return replace(
            self, model=model, graph=graph, unknown=self.unknown.copy(), unknown_places=self.unknown_places.copy(),
            param_dtypes=self.param_dtypes.copy(), mac_dtypes=self.mac_dtypes.copy(), fields=self.fields.copy(),
            made_with=self.made_with.copy(),
        )  # fmt: skip

    @property
    def batch(self) -> int | None:
        """Number of examples that the numbers are for: of a list, or by the first axis of the first input."""
        if self.examples is not None:
            return self.examples
        return next((shape[0] for shape, _ in self.inputs if shape), None)

    @cached_property
    def modules(self) -> tuple[Module, ...]:
        """The module tree, each module with all that is below it; the first is the model, and has the totals."""
        return module_tree(self.layers, self.tree, self.totals, self.fields)

    @cached_property
    def biggest(self) -> Layer | None:
        """The module whose own share has most MACs, and of equal ones most FLOPs, the first; None if all have none.

        Its first call's row, with MACs, FLOPs and bytes summed over all its calls, as the module tree has them.
        """
        return biggest(self.layers)

    @cached_property
    def memory(self) -> ReportMemory:
        """Bytes by what they are for, and the peaks of inference and of a training step.

        Raises:
            CnncostError: the report was read from a file that does not hold them.
        """
        return memory_of(self.model, self.graph, self.training, self.partial, self.saved_memory)

    def layer(self, path: str) -> Layer:
        """The row of a module's first call: what it runs itself, outside the modules in it.

        Raises:
            CnncostError: no module of this path, or none that has a row: it runs no op itself; the message names
                near ones, or says where its numbers are.
        """
        for row in self.layers:
            if row.path == path:
                return row
        known = [p for p, _, _ in self.tree]
        if path in known:
            raise CnncostError(without_row(path, [row.path for row in self.layers]))
        raise CnncostError(unknown_path(path, known))

    def module(self, path: str) -> Module:
        """A module with all below it. Raises CnncostError as `layer` does."""
        for row in self.modules:
            if row.path == path:
                return row
        raise CnncostError(unknown_path(path, [p for p, _, _ in self.tree]))

    @cached_property
    def receptive_fields(self) -> ReceptiveFields:
        """The receptive fields of all module calls, found when they are first asked for."""
        from cnncost.passes.receptive_field import receptive_fields  # not needed for a table

        if self.graph is None:
            raise CnncostError(
                f"{self.model}: a report that was read from a file has no graph; analyze the model again"
            )
        with no_collection():
            return receptive_fields(self.graph)

    def log_dict(self, prefix: str = "complexity/") -> dict[str, int]:
        """The totals by flat names, for an experiment tracker: `wandb.log(report.log_dict())`."""
        names = [*[f.name for f in fields(self.totals)], *[n for n, about in statistics(Totals).items() if about.after]]
        found = {name: value for name in names if type(value := getattr(self.totals, name)) is int}
        found["unknown_ops"] = sum(self.unknown.values())
        return {prefix + name: value for name, value in found.items()}
