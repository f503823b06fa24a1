"""What all pictures have in common: the file's ending, a figure without a screen, a look, a whole file or none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnncost.errors import MissingPackageError, OutputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import BboxBase

ENDINGS = (".png", ".svg", ".pdf")
COLOURS = {"compute": "#0072b2", "memory": "#d55e00", "launch": "#009e73", "": "#888888"}
"""Of bounds: Okabe and Ito's, which colour-blind readers tell apart."""
_MARGIN = 4.0
"""Pixels between a label and the frame."""
_LOOK: Any = {
    "figure.dpi": 150, "savefig.bbox": "tight", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.alpha": 0.25, "legend.frameon": False, "svg.hashsalt": "cnncost",
}  # fmt: skip


def available(path: str) -> None:
    """Check, before the work, that a picture can be drawn into a file of this name.

    Raises:
        OutputError: an ending that is no picture's.
        MissingPackageError: matplotlib is not installed.
    """
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise OutputError(f"{path}: expected a name that ends in {', '.join(ENDINGS)}, got {ending or 'no ending'}")
    if find_spec("matplotlib") is None:
        raise MissingPackageError("pictures: matplotlib is not installed; pip install 'cnncost[plots]'")


@contextmanager
def canvas(path: str, width: float = 8.0, height: float = 5.0) -> Iterator[Axes]:
    """Axes to draw on; what was drawn is saved when the block ends without an error."""
    available(path)
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_LOOK):
        figure = Figure(figsize=(width, height))
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        yield axes
        part = Path(path).with_name(f".{Path(path).name}.part")
        try:
            figure.savefig(part, format=Path(path).suffix[1:].lower(), metadata=_undated(path))
            part.replace(path)
        except OSError as error:
            raise OutputError(
                f"{path}: could not be written: {error.strerror or error}; choose another place"
            ) from None
        finally:
            part.unlink(missing_ok=True)


def keep_inside(axes: Axes, texts: Sequence[Annotation]) -> None:
    """Move labels that would leave the axes, or cover one another; call it when the limits are what they will be.

    A label that has to go left, over its own dot and others, goes below them, or above where no room is below.
    """
    frame, points = axes.get_window_extent(), 72 / axes.figure.dpi
    placed: list[BboxBase] = []
    for text in texts:
        box = _box(text)
        dot = axes.transData.transform(text.xy)[1]
        left, up = min(0.0, frame.x1 - box.x1), max(0.0, frame.y0 + _MARGIN - box.y0)
        if left and not up:
            down = max(0.0, box.y1 - dot + 3 * _MARGIN)
            up = -down if box.y0 - down > frame.y0 + _MARGIN else dot + 3 * _MARGIN - box.y0
        box = _moved(box, left, up)
        for other in placed:  # from the top down, as they came
            if box.overlaps(other) and other.y0 - box.height > frame.y0 + _MARGIN:
                step = other.y0 - box.y1 - 1
                box, up = _moved(box, 0, step), up + step
        placed.append(box)
        x, y = text.xyann
        text.xyann = (x + left * points, y + up * points)


def _box(text: Annotation) -> BboxBase:
    """Of a label, in pixels, without the line to its dot."""
    from matplotlib.text import Text

    text.get_window_extent()  # puts it where its dot is
    return Text.get_window_extent(text)


def _moved(box: BboxBase, right: float, up: float) -> BboxBase:
    from matplotlib.transforms import Bbox

    return Bbox.from_bounds(box.x0 + right, box.y0 + up, box.width, box.height)


def _undated(path: str) -> dict[str, None]:
    """The same picture gives the same file."""
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(Path(path).suffix.lower(), {})
