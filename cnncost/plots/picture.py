"""Creates a figure and writes it to a file: atomically, and with the same bytes each time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cnncost.errors import MissingPackageError, OutputError
from cnncost.files import check, write_bytes

ENDINGS = (".png", ".svg", ".pdf")
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's colour-blind safe palette."""
DPI = 150
_STYLE = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e6e6e6",
    "axes.axisbelow": True, "svg.hashsalt": "cnncost", "figure.dpi": DPI, "legend.frameon": False,
}  # fmt: skip


def check_picture(path: str | Path) -> None:
    """Check that a picture can be written to `path`; call it before the expensive work.

    Raises:
        OutputError: the file ending is unknown, or the path can't be written.
        MissingPackageError: matplotlib is not installed.
    """
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise OutputError(f"{path}: expected a name that ends in {', '.join(ENDINGS)}, got {ending or 'no ending'}")
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
def picture(
    path: str | Path, columns: int = 1, size: tuple[float, float] = (6.4, 4.0), title: str = ""
) -> Iterator[list[Any]]:
    """Yield axes to draw on, side by side; the picture is written when the context ends without an error.

    Args:
        path: the file; its ending selects the format.
        columns: number of axes.
        size: width and height of each axes in inches.
        title: title above all axes.

    Raises:
        OutputError, MissingPackageError: as `check_picture` does.
    """
    check_picture(path)
    mpl = _matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(size[0] * columns, size[1]), layout="constrained")
        FigureCanvasAgg(figure)  # attaches itself to the figure, so that the extents of texts can be measured
        if title:
            figure.suptitle(title)
        yield list(figure.subplots(1, columns, squeeze=False)[0])
        ending = Path(path).suffix.lower().removeprefix(".")
        dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(ending)  # no timestamps
        data = io.BytesIO()
        figure.savefig(data, format=ending, metadata=dates)
    write_bytes(path, data.getvalue())
