"""A model's figures in the form that is stored and compared: totals, and each module's own share.

A Snapshot is made from a Report or read from the baseline.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from cnncost import units
from cnncost.budget.settings import settings
from cnncost.graph import Shape
from cnncost.render.values import Tensor, tensors, tensors_text
from cnncost.report.brief import counts
from cnncost.report.model import Report
from cnncost.report.rows import Layer
from cnncost.report.tree import ancestors
from cnncost.reprs import line

SUMMED = ("params", "trainable_params", "buffers", "macs", "flops", "bytes_read", "bytes_written")
"""Figures of parts that add up to the model's."""
PEAKS = ("inference_peak", "training_peak")
"""Figures that are lower bounds if the temporaries of ops are unknown."""


class Part(NamedTuple):
    """A module's own figures: its parameters, and its ops in all its calls, without those of its children.

    Attributes:
        path: the module's path; `""` for the model itself.
        output: shape of the first tensor that its first call returned; None if there is none.
        settings: settings of its main op, such as `(("kernel", "3"), ("out", "64"))`.
        unknown: whether it ran an op without a rule itself.
    """

    path: str
    class_name: str
    calls: int
    output: Shape | None = None
    params: int = 0
    trainable_params: int = 0
    buffers: int = 0
    macs: int = 0
    flops: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    settings: tuple[tuple[str, str], ...] = ()
    unknown: bool = False

    def __repr__(self) -> str:
        return line(self, f"{self.path or 'the model'} ({self.class_name}): {counts(self)}")

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def above(self) -> str:
        """The path of the parent module."""
        return self.path.rpartition(".")[0]


@dataclass(frozen=True)
class Snapshot:
    """A model's figures.

    Attributes:
        model: name of the model.
        inputs: shapes and dtypes.
        parts: every module in the order of the model, starting with the model itself.
        lower_bound: whether ops without a rule are missing from the figures.
        totals: figures of the whole model by quantity: the sums of the parts, and others that were requested.
        depends_on: as `ReportData.depends_on`; empty if read from a baseline.
        unseen: whether unknown temporaries are missing from the peaks among the totals.
    """

    model: str
    inputs: tuple[Tensor, ...]
    parts: tuple[Part, ...]
    lower_bound: bool
    totals: dict[str, Any]
    depends_on: tuple[str, ...] = field(default=(), compare=False)
    unseen: bool = False

    def __repr__(self) -> str:
        figures = [f"{self.totals[name]:,} {name}" for name in ("params", "macs") if name in self.totals]
        return f"<Snapshot of {self.model}: {', '.join([*figures, units.counted(len(self.parts), 'module')])}>"

    @property
    def input_text(self) -> str:
        """The inputs as text, such as `1×3×224×224 float32`."""
        return tensors_text(self.inputs)

    @cached_property
    def by_path(self) -> dict[str, Part]:
        """The parts by path."""
        return {part.path: part for part in self.parts}

    @cached_property
    def partial_paths(self) -> frozenset[str]:
        """The paths of the modules whose figures, descendants included, leave out ops without a rule."""
        return frozenset(path for part in self.parts if part.unknown for path in ancestors(part.path))

    @cached_property
    def children(self) -> dict[str, list[Part]]:
        """The children of each module, in order, by path."""
        children: dict[str, list[Part]] = {part.path: [] for part in self.parts}
        for part in self.parts:
            if part.path:
                children[part.above].append(part)
        return children

    @cached_property
    def sums(self) -> dict[str, dict[str, int]]:
        """Figures of each module, descendants included, by path."""
        sums = {part.path: dict.fromkeys(SUMMED, 0) for part in self.parts}
        for part in self.parts:
            path: str | None = part.path
            while path is not None:
                for name in SUMMED:
                    sums[path][name] += getattr(part, name)
                path = path.rpartition(".")[0] if path else None
        return sums


def of_report(report: Report, further_totals: dict[str, Any] | None = None) -> Snapshot:
    """Return the figures of a Report; `further_totals`, by name, are added to its totals."""
    by_path = settings(report.graph)
    rows: dict[str, list[Layer]] = {}
    for layer in report.layers:
        rows.setdefault(layer.path, []).append(layer)
    parts = tuple(
        _part(path, class_name, calls, rows.get(path, []), by_path.get(path, {}))
        for path, class_name, calls in report.tree
    )
    totals = {name: getattr(report.totals, name) for name in SUMMED} | (further_totals or {})
    has_peaks = not totals.keys().isdisjoint(PEAKS)
    return Snapshot(
        report.model, tensors(report.inputs), parts, report.totals.lower_bound, totals, report.depends_on,
        has_peaks and bool(report.memory.figures.unseen),
    )  # fmt: skip


def _part(path: str, class_name: str, calls: int, layers: list[Layer], main_settings: dict[str, str]) -> Part:
    output = layers[0].output_shape if layers else None
    sums: dict[str, Any] = {name: sum([getattr(layer, name) for layer in layers]) for name in SUMMED}
    unknown = any(layer.unknown for layer in layers)
    return Part(path, class_name, calls, output, settings=tuple(main_settings.items()), unknown=unknown, **sums)
