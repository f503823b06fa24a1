"""A benchmark: the machine, its ceilings, and the predicted and measured times of networks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from cnncost.bench.host import Host
from cnncost.devices.model import Device
from cnncost.evaluation.figures import median_error, spearman
from cnncost.evaluation.join import Joined

LARGE = 100_000_000
"""MACs per example above which the goals apply; below, launches and Python take most of the time."""
GOAL_ORDER = 0.95
"""Goal: Spearman's rank correlation between predicted and measured times, over the networks, is at least this."""
GOAL_ERROR = {"cpu": 0.30, "cuda": 0.35}
"""Goal by backend: the median absolute relative error over large networks is at most this."""


class Figures(NamedTuple):
    """Accuracy of the predictions for one batch size.

    Attributes:
        batch: the batch size; None for the inputs as given.
        networks: number of networks whose float32 inference in eager mode was both predicted and measured.
        large: number of these with more than `LARGE` MACs per example.
        order: Spearman's rank correlation of predicted and measured times; None if it is not defined.
        error: median absolute relative error over the large networks, as a fraction; None if there are none.
        error_all: the same over all networks.
        quiet: number of large networks measured while the machine was quiet.
        quiet_error: median absolute relative error over these; None if there are none.
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
        on: the backend, cpu or cuda.
        host: the machine.
        device: the ceilings used for predictions.
        date: date and time of the start.
        rows: a row for each network and case.
        seconds: duration of the benchmark so far.
        interrupted: whether it was stopped before its end.
        whole_zoo: whether all reference networks are measured; the document then also compares with the goals and
            the lecture's slides.
        remarks: further sentences for the document.
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
        """Return why the first row failed, if all rows failed; else an empty text. Lack of memory is no failure."""
        if not self.rows or any(row.measured.status != "failed" for row in self.rows):
            return ""
        first = self.rows[0].measured
        return f"{first.model}: nothing could be measured: {first.note}"

    def figures(self) -> list[Figures]:
        """Return the accuracy for each batch size, over rows of float32 inference in eager mode."""
        batches = dict.fromkeys(row.case.batch for row in self.rows)
        return [
            _figures(batch, [r for r in self.rows if r.case.batch == batch and _is_included(r)]) for batch in batches
        ]


def _is_included(row: Joined) -> bool:
    """Return whether a row is float32 inference in eager mode, with both a prediction and a measurement."""
    return row.error is not None and not row.case.training and not row.case.compiled and row.case.dtype == "float32"


def _figures(batch: int | None, rows: Iterable[Joined]) -> Figures:
    rows = list(rows)
    pairs = [(row.predicted_seconds or 0.0, row.seconds or 0.0) for row in rows]  # neither is None, see `_is_included`
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
    """Return whether a network has more than `LARGE` MACs per example."""
    return row.report is not None and row.report.totals.macs / (row.case.batch or 1) > LARGE
