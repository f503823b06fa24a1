"""Pareto plot of models: parameters on x, MACs on y, memory as the dot's area, the Pareto front in colour."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cnncost import units
from cnncost.budget.compare import Compared
from cnncost.plots.marks import human_axis, name_points
from cnncost.plots.picture import COLORS, picture

_LARGEST = 900
"""Area of the largest point, in square points."""


def draw_pareto(rows: Sequence[Compared], path: str | Path) -> None:
    """Draw the plot to a file.

    Raises:
        OutputError, MissingPackageError: as `picture` does.
    """
    with picture(path, size=(7.2, 4.8)) as (axes,):
        most = max(row.memory for row in rows) or 1
        for row in rows:
            color = COLORS[1] if row.front else "#999999"
            area = max(12, _LARGEST * row.memory / most)
            axes.scatter(_shown(row.params), _shown(row.macs), s=area, color=color, alpha=0.55, linewidths=0)
            axes.scatter(_shown(row.params), _shown(row.macs), s=6, color=color, zorder=3)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.margins(0.14)
        human_axis(axes.xaxis, "parameters")
        human_axis(axes.yaxis, "MACs")
        what = "peak memory of inference" if all(row.peak is not None for row in rows) else "bytes of the weights"
        names = _named(rows)
        axes.set_title(f"area: {what}, the largest {units.data(most)}; orange: Pareto front", fontsize=9, loc="left")
        name_points(axes, names)


def _named(rows: Sequence[Compared]) -> dict[str, tuple[float, float]]:
    """Points by label; models at the same point share a label."""
    at: dict[tuple[float, float], list[str]] = {}
    for row in rows:
        at.setdefault((_shown(row.params), _shown(row.macs)), []).append(row.name)
    found: dict[str, tuple[float, float]] = {}
    for point, names in at.items():
        label = ", ".join(dict.fromkeys(names))
        found[label if label not in found else f"{label} "] = point
    return found


def _shown(number: int) -> int:
    """The number, at least 1: a logarithmic axis can't show 0."""
    return max(number, 1)
