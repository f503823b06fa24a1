"""A picture to draw on, and how it gets into a file: whole or not at all, the same bytes each time."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cnncost.errors import MissingPackageError, OutputError
from cnncost.report.save import check, write_bytes

ENDINGS = (".svg", ".png", ".pdf")
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's, which stay apart for colour-blind readers."""
_DPI = 150
_STYLE = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e6e6e6",
    "axes.axisbelow": True, "svg.hashsalt": "cnncost", "figure.dpi": _DPI, "legend.frameon": False,
}  # fmt: skip


def check_picture(path: str | Path) -> None:
    """Whether a picture can be written there; to be called before the work.

    Raises:
        OutputError: an unknown ending, or a place that can't be written to.
        MissingPackageError: matplotlib is not installed.
    """
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise OutputError(f"{path}: expected a picture that ends in {', '.join(ENDINGS)}, got {ending or 'no ending'}")
    check(path)
    _matplotlib()


def _matplotlib() -> Any:
    try:
        import matplotlib as mpl
    except ImportError:
        raise MissingPackageError(
            "pictures are drawn by matplotlib, which is not installed; pip install 'cnncost[plots]'"
        ) from None
    return mpl


@contextmanager
def picture(path: str | Path, columns: int = 1, size: tuple[float, float] = (6.4, 4.0)) -> Iterator[list[Any]]:
    """Axes to draw on, in a row; the picture is written when all is drawn.

    Args:
        path: the file; its ending says how.
        columns: how many axes.
        size: of each, in inches.

    Raises:
        OutputError, MissingPackageError: as `check_picture` does.
    """
    check_picture(path)
    mpl = _matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(size[0] * columns, size[1]), layout="constrained")
        FigureCanvasAgg(figure)
        yield list(figure.subplots(1, columns, squeeze=False)[0])
        ending = Path(path).suffix.lower().removeprefix(".")
        dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(ending)  # the same bytes each time
        data = io.BytesIO()
        figure.savefig(data, format=ending, metadata=dates)
    write_bytes(path, data.getvalue())


def human_axis(axis: Any, name: str) -> None:
    """A logarithmic axis of counts, its ticks as people write them."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    from cnncost import units

    axis.set_label_text(name)
    axis.set_major_formatter(FuncFormatter(lambda value, _: units.compact(round(value))))
    axis.set_minor_formatter(NullFormatter())


def name_points(
    axes: Any, points: Mapping[str, tuple[float, float]], others: Iterable[tuple[float, float]] = ()
) -> None:
    """Each point's name where it covers no other name and no point: near, or further off with a line to it.

    `others` are points that have no name and are not to be covered either. To be called last: where things are on
    the picture must not change any more.
    """
    figure = axes.figure
    figure.draw_without_rendering()
    inside = axes.get_window_extent()
    spots = [axes.transData.transform(point) for point in (*points.values(), *others)]
    taken: list[Any] = []
    for name, point in points.items():
        label = axes.annotate(
            name, point, xytext=(0, 0), textcoords="offset points", fontsize=8, ha="center", va="center"
        )
        size = label.get_window_extent()
        for dx, dy in _AROUND:
            label.set_position((dx * (size.width / _PIXELS / 2 + 8), dy))
            box = label.get_window_extent()
            within = inside.x0 < box.x0 and box.x1 < inside.x1 and inside.y0 < box.y0 and box.y1 < inside.y1
            covers = any(box.overlaps(other) for other in taken) or any(box.contains(*spot) for spot in spots)
            if within and not covers:
                break
        taken.append(label.get_window_extent())
        if abs(dy) > _NEAR:
            axes.annotate(
                "", point, xytext=label.get_position(), textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.6, "shrinkA": 4},
            )  # fmt: skip


_PIXELS = _DPI / 72
"""Of a point."""
_NEAR = 11
_AROUND = [(0, dy) for dy in (9, -9)] + [(dx, 0) for dx in (1, -1)] + [
    (dx, sign * dy) for dy in (18, 27, 36, 45) for dx in (0, 1, -1) for sign in (1, -1)
]  # fmt: skip
"""Where a name may stand, the nearest first: to the side in its own widths, upwards in points."""
