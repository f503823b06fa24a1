"""A whole benchmark: the machine, its ceilings, and every network predicted and measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from cnncost.bench.host import Host
from cnncost.devices.model import Device
from cnncost.evaluation.figures import median_error, spearman
from cnncost.evaluation.join import Joined

LARGE = 100_000_000
"""MACs of one example above which a prediction is held to its goal; below, launches and Python are most of the time."""
GOAL_ORDER, GOAL_ERROR = 0.95, {"cpu": 0.30, "cuda": 0.35}
"""What predictions are to reach: Spearman's correlation over the networks, and the median error of large ones."""


class Figures(NamedTuple):
    """Accuracy of the predictions for one batch size.

    `networks` were measured, `large` of them have more than `LARGE` MACs an example, and `quiet` of those were
    measured while the machine was quiet.
    """

    batch: int | None
    networks: int
    large: int
    order: float | None
    error: float | None
    error_all: float | None
    quiet: int
    quiet_error: float | None


@dataclass
class Bench:
    """The measurements so far; rows are appended as they finish.

    Attributes:
        on: cpu or cuda.
        host: the machine.
        device: the ceilings that predictions were made with.
        date: of the start, ISO.
        rows: by network and case.
        seconds: that all took.
        interrupted: whether it was stopped before its end.
        whole_zoo: all reference networks are measured: the document tells of slides, and of goals over many networks.
        remarks: sentences of what belongs beside the rows.
    """

    on: str
    host: Host
    device: Device
    date: str
    rows: list[Joined] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False
    whole_zoo: bool = False
    remarks: list[str] = field(default_factory=list)

    @property
    def noisy(self) -> list[Joined]:
        """Rows measured on a machine that was not quiet."""
        return [row for row in self.rows if row.measured.timing is not None and row.measured.timing.noise]

    def failure(self) -> str:
        """Why nothing could be run, if all rows failed; a shortage of memory is a result."""
        if not self.rows or any(row.measured.status != "failed" for row in self.rows):
            return ""
        first = self.rows[0].measured
        return f"{first.model}: nothing could be measured: {first.note}"

    def figures(self) -> list[Figures]:
        """By batch size, over plain forward passes in float32 of different networks."""
        batches = dict.fromkeys(row.case.batch for row in self.rows)
        return [_figures(batch, [r for r in self.rows if r.case.batch == batch and _plain(r)]) for batch in batches]


def _plain(row: Joined) -> bool:
    return row.error is not None and not row.case.training and not row.case.compiled and row.case.dtype == "float32"


def _figures(batch: int | None, rows: Iterable[Joined]) -> Figures:
    rows = list(rows)
    pairs = [(row.predicted_seconds or 0.0, row.seconds or 0.0) for row in rows]
    large = [pair for pair, row in zip(pairs, rows, strict=True) if is_large(row)]
    quiet = [
        pair
        for pair, row in zip(pairs, rows, strict=True)
        if is_large(row) and row.measured.timing and not row.measured.timing.noise
    ]
    order = spearman([p for p, _ in pairs], [m for _, m in pairs])
    errors = median_error(large), median_error(pairs)
    return Figures(batch, len(rows), len(large), order, *errors, len(quiet), median_error(quiet))


def is_large(row: Joined) -> bool:
    """Whether a network has more than `LARGE` MACs an example."""
    return row.report is not None and row.report.totals.macs / (row.case.batch or 1) > LARGE
