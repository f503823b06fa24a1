"""Pareto plot of models: parameters on x, MACs on y, memory as the dot's area, the Pareto front in colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import pi, sqrt
from pathlib import Path
from typing import Any, TypeAlias

from cnncost import units
from cnncost.budget.compare import Compared
from cnncost.budget.join import Quality
from cnncost.plots.marks import human_axis, name_points
from cnncost.plots.picture import COLORS, picture

_LARGEST = 900
"""Area of the largest point, in square points."""


def draw_pareto(rows: Sequence[Compared], path: str | Path) -> None:
    """Draw the plot to a file.

    Raises:
        OutputError, MissingPackageError: as `picture` does.
    """
    points = [(_shown(row.params), _shown(row.macs)) for row in rows]
    sizes = [row.memory for row in rows]
    with picture(path, size=(7.2, 4.8)) as (axes,):
        radii = _bubbles(axes, rows, points, sizes, 0.55)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.margins(0.14)
        human_axis(axes.xaxis, "parameters")
        human_axis(axes.yaxis, "MACs")
        what = "peak memory of inference" if all(row.peak is not None for row in rows) else "bytes of the weights"
        most = units.data(max(sizes) or 1)
        axes.set_title(f"area: {what}, the largest {most}; orange: Pareto front", fontsize=9, loc="left")
        _name(axes, rows, points, radii)


def draw_quality(rows: Sequence[Compared], quality: Quality, path: str | Path) -> None:
    """Draw a joined column over MACs to a file, with the Pareto front as a line; models without a value are left out.

    Raises:
        OutputError, MissingPackageError: as `picture` does.
    """
    known = [(row, value) for row in rows if (value := dict(row.joined)[quality.column]) is not None]
    rows, points = [row for row, _ in known], [(_shown(row.macs), value) for row, value in known]
    sizes = [row.params for row in rows]
    with picture(path, size=(7.2, 4.8)) as (axes,):
        front = sorted(point for row, point in zip(rows, points, strict=True) if row.front)
        axes.plot(*zip(*front, strict=True), color=COLORS[1], linewidth=1, alpha=0.6) if front else None
        radii = _bubbles(axes, rows, points, sizes, 0.45)
        axes.set_xscale("log")
        axes.margins(0.14)
        human_axis(axes.xaxis, "MACs")
        axes.set_ylabel(quality.words)
        told = "orange: Pareto front" if front else "batch sizes differ: no Pareto front"
        most = units.compact(max(sizes) or 1)
        axes.set_title(f"area: parameters, the most {most}; {told}", fontsize=9, loc="left")
        _name(axes, rows, points, radii)


_Point: TypeAlias = tuple[float, float]


def _bubbles(
    axes: Any, rows: Sequence[Compared], points: Sequence[_Point], sizes: Sequence[int], alpha: float
) -> dict[_Point, float]:
    """Draw the models with areas by their sizes, the Pareto front in colour; radii in typographic points, by point."""
    most, radii = max(sizes) or 1, {}
    for row, point, size in zip(rows, points, sizes, strict=True):
        color = COLORS[1] if row.front else "#999999"
        area = max(12, _LARGEST * size / most)
        axes.scatter(*point, s=area, color=color, alpha=alpha, linewidths=0)
        axes.scatter(*point, s=6, color=color, zorder=3)
        radii[point] = sqrt(area / pi) - 3  # a label stands on the edge
    return radii


def _name(axes: Any, rows: Sequence[Compared], points: Sequence[_Point], radii: Mapping[_Point, float]) -> None:
    """Label the points; models at the same point share a label."""
    at: dict[_Point, list[str]] = {}
    for row, point in zip(rows, points, strict=True):
        at.setdefault(point, []).append(row.name)
    found: dict[str, _Point] = {}
    for point, names in at.items():
        label = ", ".join(dict.fromkeys(names))
        found[label if label not in found else f"{label} "] = point
    name_points(axes, found, radii={label: radii[point] for label, point in found.items()})


def _shown(number: int) -> int:
    """The number, at least 1: a logarithmic axis can't show 0."""
    return max(number, 1)
