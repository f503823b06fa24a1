"""Point labels that don't overlap, and logarithmic axes with readable ticks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cnncost.plots.picture import DPI

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import BboxBase

BOUNDS = {"compute": "#0072b2", "memory": "#d55e00", "launch": "#009e73", "": "#888888"}
"""Colours by what limits an op's predicted time."""
_MARGIN = 4.0
"""Pixels between a label and the frame."""


def human_axis(axis: Any, name: str) -> None:
    """Format a logarithmic axis of counts with readable ticks."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    from cnncost import units

    axis.set_label_text(name)
    low, high = axis.get_view_interval()
    decades = len([n for n in range(20) if low <= 10**n <= high])
    if decades < 2:  # powers of ten alone would leave the axis nearly without ticks
        axis.set_major_locator(LogLocator(subs=_WITHIN if high / low > _NARROW else _FINE))
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: units.compact(round(value)) if abs(value - round(value)) < 1e-6 * value else "")
    )
    axis.set_minor_formatter(NullFormatter())


_NARROW = 3.0
"""An axis whose ends have a larger ratio than this has a tick at 1, 2 or 5 times a power of ten."""
_WITHIN = (1.0, 2.0, 5.0)
_FINE = tuple(n / 10 for n in range(10, 100, 2))


def name_points(
    axes: Any, points: Mapping[str, tuple[float, float]], others: Iterable[tuple[float, float]] = ()
) -> None:
    """Label each point without covering other labels or points: nearby, or further away with a line to it.

    `others` are unlabelled points that must not be covered either. Call it last: the layout must not change
    afterwards.
    """
    figure = axes.figure
    figure.draw_without_rendering()
    inside = axes.get_window_extent()
    spots = [axes.transData.transform(point) for point in (*points.values(), *others)]
    occupied: list[Any] = []
    for name, point in points.items():
        label = axes.annotate(
            name, point, xytext=(0, 0), textcoords="offset points", fontsize=8, ha="center", va="center"
        )
        size = label.get_window_extent()
        for dx, dy in _AROUND:
            label.set_position((dx * (size.width / _PIXELS / 2 + 8), dy))
            box = label.get_window_extent()
            within = inside.x0 < box.x0 and box.x1 < inside.x1 and inside.y0 < box.y0 and box.y1 < inside.y1
            covers = any(box.overlaps(other) for other in occupied) or any(box.contains(*spot) for spot in spots)
            if within and not covers:
                break
        occupied.append(label.get_window_extent())
        if abs(dy) > _NEAR:
            axes.annotate(
                "", point, xytext=label.get_position(), textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.6, "shrinkA": 4},
            )  # fmt: skip


_PIXELS = DPI / 72
"""Pixels per typographic point."""
_NEAR = 11
_AROUND = [(0, dy) for dy in (9, -9)] + [(dx, 0) for dx in (1, -1)] + [
    (dx, sign * dy) for dy in (18, 27, 36, 45) for dx in (0, 1, -1) for sign in (1, -1)
]  # fmt: skip
"""Label positions to try, nearest first: horizontal offset in label widths, vertical offset in points."""


def keep_inside(axes: Axes, texts: Sequence[Annotation]) -> None:
    """Move labels that would leave the axes or overlap; call it once the axis limits are final.

    A label that must move left would cover its own dot, so it also moves below it, or above if there is no room.
    """
    figure: Any = axes.figure
    figure.draw_without_rendering()  # positions are known only after a layout pass
    frame, points = axes.get_window_extent(), 72 / figure.dpi
    placed: list[BboxBase] = []
    for text in texts:
        box = _box(text)
        dot = axes.transData.transform(text.xy)[1]
        left, up = min(0.0, frame.x1 - box.x1), max(0.0, frame.y0 + _MARGIN - box.y0)
        if left and not up:
            down = max(0.0, box.y1 - dot + 3 * _MARGIN)
            up = -down if box.y0 - down > frame.y0 + _MARGIN else dot + 3 * _MARGIN - box.y0
        box = _moved(box, left, up)
        for other in placed:  # in the order of `texts`: each overlapping label moves down
            if box.overlaps(other) and other.y0 - box.height > frame.y0 + _MARGIN:
                step = other.y0 - box.y1 - 1
                box, up = _moved(box, 0, step), up + step
        placed.append(box)
        x, y = text.xyann
        text.xyann = (x + left * points, y + up * points)


def _box(text: Annotation) -> BboxBase:
    """The label's bounding box in pixels, without the line to its dot."""
    from matplotlib.text import Text

    text.get_window_extent()  # updates the position of the text to that of its dot
    return Text.get_window_extent(text)


def _moved(box: BboxBase, right: float, up: float) -> BboxBase:
    from matplotlib.transforms import Bbox

    return Bbox.from_bounds(box.x0 + right, box.y0 + up, box.width, box.height)
