"""Compares models side by side and marks the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cnncost import units
from cnncost.errors import CnncostError
from cnncost.render.values import Tensor, tensors
from cnncost.report.brief import counts
from cnncost.report.model import Report
from cnncost.reprs import line


class Compared(NamedTuple):
    """A model's figures in a comparison.

    Attributes:
        name: the model's name with the sizes that vary: `resnet18 batch=8`.
        inputs: shapes and dtypes.
        params, macs, flops: for the batch size of the inputs; exact unless `lower_bound`.
        weight_bytes: bytes of parameters and buffers.
        peak: bytes alive at the peak of inference; None if a Report of the comparison lacks it.
        lower_bound: whether ops without a rule are missing from the figures.
        batch: number of examples that the figures are for; None if unknown.
        front: whether it is on the Pareto front: no other model is lower in parameters, MACs or memory without being
            higher in another of these.
        model: the model's name without the sizes.
        sizes: (name, this row's size) for each size that varies.
        joined: (name, this row's value) for each column of the user's table (`--join`).
        depends_on: as `ReportData.depends_on`.
        unseen: ops with unknown temporaries; if there are any, `peak` is a lower bound.
    """

    name: str
    inputs: tuple[Tensor, ...]
    params: int
    macs: int
    flops: int
    weight_bytes: int
    peak: int | None
    lower_bound: bool
    batch: int | None = 1
    front: bool = False
    model: str = ""
    sizes: tuple[tuple[str, int], ...] = ()
    joined: tuple[tuple[str, Any], ...] = ()
    depends_on: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return line(self, f"{self.name}: {counts(self)}, peak {self.memory:,} bytes")

    @property
    def memory(self) -> int:
        """Bytes: the peak if known, else the weights alone."""
        return self.weight_bytes if self.peak is None else self.peak


COLUMNS = frozenset({*Compared._fields, "memory", "ratio", "bar"} - {"unseen"})
"""Names of a comparison's own columns; the user's columns need other names."""


def compare(
    reports: Sequence[tuple[str, Report]], sizes: Sequence[Mapping[str, int]] | None = None
) -> tuple[Compared, ...]:
    """Return the models in order, marking those on the Pareto front; none is marked if batch sizes differ.

    Args:
        reports: pairs of a model's name and its Report.
        sizes: for each report, the sizes that vary, by name; None: nothing varies.
    """
    all_sizes = sizes or [{}] * len(reports)
    rows = [_row(name, report, varied) for (name, report), varied in zip(reports, all_sizes, strict=True)]
    if any(row.peak is None for row in rows):  # one model's peak must not be compared with another's weights
        rows = [row._replace(peak=None) for row in rows]
    if len({row.batch for row in rows}) > 1:  # MACs and memory are for different amounts of work
        return tuple(rows)
    costs = [(row.params, row.macs, row.memory) for row in rows]
    return tuple(
        row._replace(front=not any(dominates(other, cost) for other in costs))
        for row, cost in zip(rows, costs, strict=True)
    )


def incomparable(rows: Sequence[Compared]) -> str:
    """Return why the figures are not comparable: batch sizes differ. Empty if they are comparable."""
    if len({row.batch for row in rows}) <= 1:
        return ""
    batches = ", ".join(f"{row.name}: {units.NOTHING if row.batch is None else row.batch}" for row in rows)
    reason = (
        f"batch sizes differ ({batches}): MACs, FLOPs and memory can't be compared, so no model is on the Pareto front"
    )
    if any(row.sizes for row in rows):  # with --vary, batch sizes may differ on purpose
        return reason
    return f"{reason}; analyze all models at one batch size"


def dominates(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Return whether no cost of `one` is higher than that of `other`, and at least one is lower."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


def front(costs: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of the pairs on the Pareto front (less is better), sorted by the first cost.

    Equal pairs are all on the front or all off it.
    """
    indices: list[int] = []
    for index in sorted(range(len(costs)), key=lambda i: costs[i]):
        if not indices or costs[index][1] < costs[indices[-1]][1] or costs[index] == costs[indices[-1]]:
            indices.append(index)
    return indices


def _row(model: str, report: Report, sizes: Mapping[str, int]) -> Compared:
    name = " ".join([model, *[f"{variable}={size}" for variable, size in sizes.items()]])
    totals, peak = report.totals, _peak(report)
    weight_bytes = totals.param_bytes + totals.buffer_bytes
    return Compared(
        name,
        tensors(report.inputs),
        totals.params,
        totals.macs,
        totals.flops,
        weight_bytes,
        peak,
        totals.lower_bound,
        report.batch,
        model=model,
        sizes=tuple(sizes.items()),
        depends_on=report.depends_on,
        unseen=report.memory.figures.unseen if peak is not None else (),
    )


def _peak(report: Report) -> int | None:
    """Return the peak of inference in bytes; None if the Report was saved without it."""
    try:
        return report.memory.inference_peak
    except CnncostError:
        return None
