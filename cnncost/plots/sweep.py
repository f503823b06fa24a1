"""Plots of a sweep: two columns against each other with their Pareto front, or several as parallel coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from typing import Any

from cnncost import units
from cnncost.budget import compare
from cnncost.errors import InputError
from cnncost.near import suggestion
from cnncost.plots.marks import name_points, readable_axis
from cnncost.plots.picture import COLORS, picture
from cnncost.sweeps.figures import FIGURES

_NAMED = 30
"""Maximum number of labelled points on fronts."""
_ALL = 12
"""If there are at most this many points, all are labelled, even those off the front."""
_MORE = frozenset("accuracy acc top1 top5 map miou auc f1 score bleu throughput".split())
"""Words in the names of columns in which more is better; in all others, less is better."""


def checked(requested: Sequence[str], numbers: Sequence[str]) -> list[str]:
    """Return the names of the columns to draw, after checking them; `+` or `-` before a name: more or less is better.

    Raises:
        InputError: fewer than two, or a name that is not a column of numbers.
    """
    if len(requested) < 2:
        raise InputError(
            f"a picture needs two columns of numbers, as in --scatter macs,params; available: {_listed(numbers)}"
        )
    for name in requested:
        if name.lstrip("+-") not in numbers:
            near = suggestion(name.lstrip("+-"), numbers) or f"; available: {_listed(numbers)}"
            raise InputError(f"--scatter: no column of numbers {name.lstrip('+-')!r}{near}")
    return list(requested)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def better_sign(name: str) -> int:
    """Return 1 if more of a column is better, -1 if less is."""
    if name[0] in "+-":
        return 1 if name[0] == "+" else -1
    return 1 if _MORE & set(name.lower().replace("@", "").replace("-", "_").split("_")) else -1


def front(points: Sequence[tuple[float, float]], signs: tuple[int, int]) -> list[int]:
    """Return the indices of the points on the Pareto front, in the order of the first coordinate.

    Of equal points, all are on the front or none is.

    Args:
        points: pairs.
        signs: for each coordinate, 1 if more is better, -1 if less is.
    """
    return compare.front([(-signs[0] * x, -signs[1] * y) for x, y in points])


def fronts(
    rows: Sequence[dict[str, Any]], points: Sequence[tuple[float, float]], signs: tuple[int, int]
) -> list[list[int]]:
    """Return the `front` of the rows of each batch size: costs of different batch sizes are not comparable."""
    groups: dict[Any, list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault(row.get("batch"), []).append(i)
    return [[indices[i] for i in front([points[i] for i in indices], signs)] for indices in groups.values()]


def draw(names: Sequence[str], records: Sequence[dict[str, Any]], requested: Sequence[str], path: str) -> None:
    """Draw columns to a file; rows that lack one of them are left out.

    Raises:
        InputError: no row has numbers in all of these columns.
        OutputError, MissingPackageError: as `picture` does.
    """
    columns = [name.lstrip("+-") for name in requested]
    complete = [row for row in records if all(isinstance(row[name], (int, float)) for name in columns)]
    if not complete:
        raise InputError(f"{path}: no row has numbers in all of {', '.join(columns)}: there is nothing to draw")
    if len(columns) == 2:
        signs = better_sign(requested[0]), better_sign(requested[1])
        _scatter(complete, columns, signs, _label_columns(names, records), path)
    else:
        _parallel(complete, columns, path)


def _label_columns(names: Sequence[str], records: Sequence[dict[str, Any]]) -> list[str]:
    """Return the columns that distinguish rows: the model, and the axes of the grid that vary."""
    model_and_axes = names[: names.index("input")]
    return ["model", *(n for n in model_and_axes[1:] if len({row[n] for row in records}) > 1)]


def _scatter(
    rows: Sequence[dict[str, Any]],
    names: Sequence[str],
    signs: tuple[int, int],
    label_columns: Sequence[str],
    path: str,
) -> None:
    points = [(row[names[0]], row[names[1]]) for row in rows]
    lines = fronts(rows, points, signs)
    best = [i for line in lines for i in line]
    with picture(path, size=(7.2, 4.8)) as (axes,):
        axes.scatter(*zip(*points, strict=True), s=14, color="#999999", alpha=0.7, linewidths=0)
        for line in lines:
            axes.plot(*zip(*[points[i] for i in line], strict=True), "o-", color=COLORS[1], linewidth=1, markersize=4)
        axes.margins(0.12)
        for axis, name, index in ((axes.xaxis, names[0], 0), (axes.yaxis, names[1], 1)):
            _scale(axes, axis, name, [point[index] for point in points])
        words = ["more" if sign > 0 else "less" for sign in signs]
        each = " of each batch size" if len(lines) > 1 else ""
        headings = [_heading(name) for name in names]
        title = f"orange: Pareto front{each} ({words[0]} {headings[0]} and {words[1]} {headings[1]} are better)"
        axes.set_title(title, fontsize=9, loc="left")
        labels: dict[str, tuple[float, float]] = {}
        for i in best[:_NAMED] if len(rows) > _ALL else range(len(rows)):
            varied = [f"{name}={rows[i][name]}" for name in label_columns[1:]]
            labels.setdefault(" ".join([str(rows[i][label_columns[0]]), *varied]), points[i])
        name_points(axes, labels, () if len(rows) > _ALL else points)


def _scale(axes: Any, axis: Any, name: str, values: Sequence[float]) -> None:
    """Make an axis logarithmic if its values span more than a decade, and format it."""
    if min(values) > 0 and max(values) > 10 * min(values):
        (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
    if name.startswith("seconds_"):
        axis.set_major_formatter(lambda value, _: units.si(value, "s"))
        axis.set_label_text(name)
    elif all(isinstance(value, int) for value in values):
        readable_axis(axis, _heading(name), units.data if _kind(name) == "bytes" else None)
    else:
        axis.set_label_text(_heading(name))


def _heading(name: str) -> str:
    """Return a column's heading, as in tables."""
    return FIGURES[name].heading if name in FIGURES else name


def _kind(name: str) -> str:
    return FIGURES[name].kind if name in FIGURES else ""


def _parallel(rows: Sequence[dict[str, Any]], names: Sequence[str], path: str) -> None:
    """Draw a line for each row, in the colour of its model, over axes with separate scales."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    with picture(path, size=(max(6.4, 1.6 * len(names)), 4.4)) as (axes,):
        scaled = [_unit([float(row[name]) for row in rows]) for name in names]
        for i, row in enumerate(rows):
            color = COLORS[models.index(row["model"]) % len(COLORS)]
            # the legend has only a model's first line, and is shown only if no colour repeats
            first = row["model"] not in {each["model"] for each in rows[:i]} if len(models) <= len(COLORS) else False
            axes.plot(range(len(names)), [each[i] for each in scaled], color=color, linewidth=1, alpha=0.6,
                      label=row["model"] if first else None)  # fmt: skip
        axes.set_xticks(range(len(names)), [_heading(name) for name in names])
        axes.set_yticks([])
        for x, name in enumerate(names):
            values = [row[name] for row in rows]
            axes.axvline(x, color="#444444", linewidth=0.8)
            for value, height, side in ((min(values), -0.02, "top"), (max(values), 1.02, "bottom")):
                axes.text(x, height, _number(name, value), fontsize=8, ha="center", va=side)
        axes.set_ylim(-0.12, 1.12)
        if len(models) <= len(COLORS):
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)


def _unit(values: Sequence[float]) -> list[float]:
    """Return the values scaled to 0 … 1, by logarithm if they span more than a decade."""
    if min(values) > 0 and max(values) > 10 * min(values):
        values = [log10(value) for value in values]
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 0.5 for value in values]


def _number(name: str, value: float) -> str:
    if name.startswith("seconds_"):
        return units.si(value, "s")
    return units.compact(value) if isinstance(value, int) else f"{value:.3g}"
