"""Pareto plot of models: parameters on x, MACs on y, memory as the dot's area, the Pareto front in colour."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi, sqrt
from pathlib import Path

from cnncost import units
from cnncost.budget.compare import Compared
from cnncost.budget.join import Quality
from cnncost.plots.marks import name_points, readable_axis
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
        areas: dict[tuple[float, float], float] = {}
        for row in rows:
            color = COLORS[1] if row.front else "#999999"
            area = max(12, _LARGEST * row.memory / most)
            areas[_for_log_axis(row.params), _for_log_axis(row.macs)] = area
            axes.scatter(
                _for_log_axis(row.params), _for_log_axis(row.macs), s=area, color=color, alpha=0.55, linewidths=0
            )
            axes.scatter(_for_log_axis(row.params), _for_log_axis(row.macs), s=6, color=color, zorder=3)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.margins(0.14)
        readable_axis(axes.xaxis, "parameters")
        readable_axis(axes.yaxis, "MACs")
        memory = "peak memory of inference" if all(row.peak is not None for row in rows) else "bytes of the weights"
        names = points_by_label([(row.name, (_for_log_axis(row.params), _for_log_axis(row.macs))) for row in rows])
        axes.set_title(f"area: {memory}, the largest {units.data(most)}; orange: Pareto front", fontsize=9, loc="left")
        name_points(axes, names, radii={name: _radius(areas[point]) for name, point in names.items()})


def draw_quality(rows: Sequence[Compared], quality: Quality, path: str | Path) -> None:
    """Draw a joined column over MACs to a file, with the Pareto front as a line; models without a value are left out.

    Raises:
        OutputError, MissingPackageError: as `picture` does.
    """
    points = [(row, value) for row in rows if (value := dict(row.joined)[quality.column]) is not None]
    with picture(path, size=(7.2, 4.8)) as (axes,):
        most = max(row.params for row, _ in points) or 1
        areas: dict[tuple[float, float], float] = {}
        front = sorted((_for_log_axis(row.macs), value) for row, value in points if row.front)
        if front:
            axes.plot(*zip(*front, strict=True), color=COLORS[1], linewidth=1, alpha=0.6)
        for row, value in points:
            color = COLORS[1] if row.front else "#999999"
            area = areas[_for_log_axis(row.macs), value] = max(12, _LARGEST * row.params / most)
            axes.scatter(_for_log_axis(row.macs), value, s=area, color=color, alpha=0.45, linewidths=0)
            axes.scatter(_for_log_axis(row.macs), value, s=6, color=color, zorder=3)
        axes.set_xscale("log")
        axes.margins(0.14)
        readable_axis(axes.xaxis, "MACs")
        axes.set_ylabel(quality.words)
        front_text = "orange: Pareto front" if front else "no Pareto front"
        axes.set_title(f"area: parameters, the most {units.compact(most)}; {front_text}", fontsize=9, loc="left")
        names = points_by_label([(row.name, (_for_log_axis(row.macs), value)) for row, value in points])
        name_points(axes, names, radii={name: _radius(areas[point]) for name, point in names.items()})


def _radius(area: float) -> float:
    """Return a dot's radius in typographic points, less 3, so that its label touches the edge."""
    return sqrt(area / pi) - 3


def points_by_label(points: Sequence[tuple[str, tuple[float, float]]]) -> dict[str, tuple[float, float]]:
    """Return the points by label; models at the same point share a label."""
    names_at: dict[tuple[float, float], list[str]] = {}
    for name, point in points:
        names_at.setdefault(point, []).append(name)
    found: dict[str, tuple[float, float]] = {}
    for point, names in names_at.items():
        label = ", ".join(dict.fromkeys(names))
        while label in found:
            label += " "  # spaces distinguish equal labels of different points
        found[label] = point
    return found


def _for_log_axis(number: int) -> int:
    """Return the number, but at least 1, because a logarithmic axis can't show 0."""
    return max(number, 1)
