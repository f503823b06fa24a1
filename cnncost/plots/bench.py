"""Plots of a benchmark: predicted against measured time, and latency over batch size."""

from __future__ import annotations

from math import log

from cnncost import units
from cnncost.evaluation.bench import Bench
from cnncost.evaluation.join import Joined
from cnncost.evaluation.tables import case_name
from cnncost.plots.marks import BOUND_COLOURS
from cnncost.plots.picture import picture

_NEAR = 0.8
"""Minimum distance between labelled dots, as a difference of log seconds; closer labels would overlap."""


def draw_errors(bench: Bench, path: str) -> None:
    """Plot predicted against measured seconds, one dot per network and case, with a band of ± 30 %."""
    rows = [row for row in bench.rows if row.error is not None]
    with picture(path, size=(7.0, 6.0)) as (axes,):
        axes.set_xscale("log")
        axes.set_yscale("log")
        times = [t for row in rows for t in (row.seconds, row.predicted_seconds) if t]
        ends = [min(times, default=1e-3) / 2, max(times, default=1.0) * 2]
        axes.plot(ends, ends, color="#444444", linewidth=1)
        axes.fill_between(
            ends, [0.7 * e for e in ends], [1.3 * e for e in ends], color="#444444", alpha=0.1, linewidth=0
        )
        for batch, colour in zip(dict.fromkeys(row.case.batch for row in rows), _colours(), strict=False):
            dots = [(row.seconds or 0.0, row.predicted_seconds or 0.0) for row in rows if row.case.batch == batch]
            axes.scatter([x for x, _ in dots], [y for _, y in dots], color=colour, s=28, alpha=0.75, linewidths=0,
                         label=f"batch {batch}" if batch else "as given")  # fmt: skip
        several_cases = len({row.case._replace(batch=None) for row in rows}) > 1
        for row in _rows_to_label(rows):
            case = case_name(row, without_batch=True) if several_cases else ""
            name, place = f"{row.name} {case}".rstrip(), (row.seconds or 0.0, row.predicted_seconds or 0.0)
            axes.annotate(name, place, fontsize=7, xytext=(5, -7), textcoords="offset points")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: units.si(value, "s"))
        axes.set_xlabel("measured time")
        axes.set_ylabel("predicted time")
        axes.set_title(f"{bench.host.processor(bench.on)}; grey: within 30 %", fontsize=10, loc="left")
        axes.legend(loc="upper left")


def _rows_to_label(rows: list[Joined]) -> list[Joined]:
    """Return the rows to label: the largest errors first, skipping rows close to one already labelled."""
    labelled: list[Joined] = []
    for row in sorted(rows, key=lambda row: -abs(row.error or 0.0)):
        x = row.seconds or 1.0
        if all(abs(log(x / (other.seconds or 1.0))) > _NEAR for other in labelled):
            labelled.append(row)
    return labelled


def draw_batches(bench: Bench, path: str) -> None:
    """Plot measured and predicted seconds over batch size, one colour per network."""
    rows = [row for row in bench.rows if row.seconds and row.case.batch]
    names = dict.fromkeys(row.name for row in rows)
    with picture(path, size=(8.0, 5.0)) as (axes,):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        for name, colour in zip(names, _colours(), strict=False):
            line = [row for row in rows if row.name == name and _is_on_line(row, rows)]
            line.sort(key=lambda row: row.case.batch or 0)
            batches = [row.case.batch or 0 for row in line]
            axes.plot(batches, [row.seconds or 0.0 for row in line], "o-", color=colour, label=name, markersize=5)
            predicted = [
                (b, row.predicted_seconds) for b, row in zip(batches, line, strict=True) if row.predicted_seconds
            ]
            axes.plot(
                [b for b, _ in predicted], [p for _, p in predicted], "--", color=colour, alpha=0.7, linewidth=1.2
            )
        batches = sorted({row.case.batch or 0 for row in rows})
        axes.set_xticks(batches, [str(b) for b in batches])
        axes.yaxis.set_major_formatter(lambda value, _: units.si(value, "s"))
        axes.set_xlabel("batch size")
        axes.set_ylabel("time of a batch")
        cases = {case_name(row, without_batch=True) or "float32" for row in rows if _is_on_line(row, rows)}
        axes.set_title(
            f"{bench.host.processor(bench.on)}, {' and '.join(sorted(cases))}; dashed: predicted",
            fontsize=10,
            loc="left",
        )
        axes.legend(fontsize=8, ncols=2)


def _is_on_line(row: Joined, rows: list[Joined]) -> bool:
    """Return whether a row belongs to its network's line.

    A network has one line, over the batch sizes of its first case that is not compiled, or else of its first case.
    """
    cases = dict.fromkeys(other.case._replace(batch=None) for other in rows if other.name == row.name)
    candidates = [case for case in cases if not case.compiled] or list(cases)
    return row.case._replace(batch=None) == candidates[0]


def _colours() -> list[str]:
    """Return the colours of the bounds and others, repeated for benchmarks of many networks."""
    more = ["#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c564b", "#9467bd"]
    return [*(colour for bound, colour in BOUND_COLOURS.items() if bound), *more] * 8
