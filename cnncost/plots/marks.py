"""Point labels that don't overlap, and axes with readable ticks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import copysign
from typing import TYPE_CHECKING, Any

from cnncost.plots.picture import DPI

if TYPE_CHECKING:
    from matplotlib.transforms import BboxBase

BOUND_COLOURS = {"compute": "#0072b2", "memory": "#d55e00", "launch": "#009e73", "": "#888888"}
"""Colours by what limits an op's predicted time."""


def readable_axis(axis: Any, name: str, format_count: Callable[[int], str] | None = None) -> None:
    """Give an axis of counts, logarithmic or not, readable tick labels that all differ.

    Args:
        axis: the axis; its limits must be final.
        name: the axis label.
        format_count: returns a count as text; None: `12.0 M`, with as many digits as are needed for ticks to differ.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_label_text(name)
    low, high = axis.get_view_interval()
    if axis.get_scale() == "log":
        decades = len([n for n in range(20) if low <= 10**n <= high])
        if decades < 2:  # powers of ten alone would leave the axis nearly without ticks
            axis.set_major_locator(LogLocator(subs=_TICKS if high / low > _NARROW else _FINE_TICKS))
    ticks = [round(tick) for tick in axis.get_majorticklocs() if low <= tick <= high and _is_whole(tick)]
    formatted = format_count or _counts(ticks)
    axis.set_major_formatter(FuncFormatter(lambda value, _: formatted(round(value)) if _is_whole(value) else ""))
    axis.set_minor_formatter(NullFormatter())


def _is_whole(value: float) -> bool:
    return abs(value - round(value)) <= 1e-6 * abs(value)


def _counts(ticks: Sequence[int]) -> Callable[[int], str]:
    """Return a function that formats counts so that all ticks differ: `21.65 M` if `21.6 M` would occur twice."""
    from cnncost import units

    if len({units.compact(tick) for tick in ticks}) == len(set(ticks)):
        return units.compact
    sign, size = next((unit for unit in reversed(units.COUNT_UNITS) if unit[1] <= max(ticks)), ("", 1))
    digits = next((n for n in range(2, 13) if all(round(tick / size, n) * size == tick for tick in ticks)), 12)
    return lambda number: f"{number / size:.{digits}f} {sign}".rstrip()


_NARROW = 3.0
"""Largest ratio of the ends of a narrow axis."""
_TICKS = (1.0, 2.0, 5.0)
_FINE_TICKS = tuple(n / 10 for n in range(10, 100, 2))
"""Multiples of powers of ten that have a tick: on a wider axis, and on a narrow one."""


def name_points(
    axes: Any, points: Mapping[str, tuple[float, float]], others: Iterable[tuple[float, float]] = (),
    radii: Mapping[str, float] | None = None, texts: Iterable[Any] = (),
) -> list[Any]:  # fmt: skip
    """Label each point without covering other labels or points: nearby, or further away with a line to the point.

    Lines don't cross labels. If no place is free, a label takes the last one tried. Call this last: the layout must not
    change afterwards.

    Args:
        axes: the axes with the points.
        points: points by label.
        others: unlabelled points that must not be covered either.
        radii: radii of the dots in typographic points, by label; a label is placed outside of its dot.
        texts: text that is already in the axes.

    Returns:
        The labels.
    """
    figure = axes.figure
    figure.draw_without_rendering()
    inside = axes.get_window_extent()
    spots = [tuple(axes.transData.transform(point)) for point in (*points.values(), *others)]
    occupied = [text.get_window_extent() for text in texts]
    labels = []
    for name, point in points.items():
        label = axes.annotate(
            name, point, xytext=(0, 0), textcoords="offset points", fontsize=8, ha="center", va="center"
        )
        radius = (radii or {}).get(name, 0.0)
        half_width = label.get_window_extent().width / _PIXELS / 2 + 8  # with 8 points between dot and label
        spot = tuple(axes.transData.transform(point))
        for dx, dy in _AROUND:
            # outside the dot: beside it if the label is at its height, else above or below it
            beside = copysign(radius, dx) if dx and not dy else 0.0
            label.set_position((dx * half_width + beside, dy + (copysign(radius, dy) if dy else 0.0)))
            box = label.get_window_extent()
            line = _leader(spot, box) if abs(dy) > _NEAR else []
            within = inside.x0 < box.x0 and box.x1 < inside.x1 and inside.y0 < box.y0 and box.y1 < inside.y1
            covers = any(box.overlaps(other) for other in occupied) or any(box.contains(*each) for each in spots)
            if within and not covers and not any(other.contains(*each) for other in occupied for each in line):
                break
        labels.append(label)
        occupied.append(box)
        spots += line
        if line:
            end = ((line[-1][0] - spot[0]) / _PIXELS, (line[-1][1] - spot[1]) / _PIXELS)
            axes.annotate(
                "", point, xytext=end, textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2},
            )  # fmt: skip
    return labels


def _leader(spot: tuple[float, float], box: BboxBase) -> list[tuple[float, float]]:
    """Return points along the line from a dot to the nearest point of its label's box."""
    end = (min(max(spot[0], box.x0), box.x1), min(max(spot[1], box.y0), box.y1))
    parts = [part / _PARTS for part in range(1, _PARTS + 1)]
    return [(spot[0] + part * (end[0] - spot[0]), spot[1] + part * (end[1] - spot[1])) for part in parts]


_PARTS = 12
"""Number of points at which a line to a label is checked for overlaps."""
_PIXELS = DPI / 72
"""Pixels per typographic point."""
_NEAR = 11
"""Vertical offset, in points, up to which a label needs no line to its dot."""
_AROUND = [(0, dy) for dy in (9, -9)] + [(dx, 0) for dx in (1, -1)] + [
    (dx, sign * dy) for dy in (18, 27, 36, 45, 58, 72, 90, 110) for dx in (0, 1, -1, 2, -2) for sign in (1, -1)
]  # fmt: skip
"""Label positions to try, nearest first: horizontal offset in half label widths, vertical offset in points."""
