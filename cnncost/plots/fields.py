"""Plot of receptive fields: boxes of chosen layers on the input, and growth over depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from cnncost.errors import CnncostError
from cnncost.passes.receptive_field import Extent
from cnncost.plots.picture import picture
from cnncost.render.values import along
from cnncost.report.fields import Growth, plain
from cnncost.report.model import Report
from cnncost.report.naming import is_within

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = ("#440154", "#3b528b", "#21918c", "#35b779", "#8fb321", "#d98c00", "#c43c39")
"""From the first layers to the last; distinct on white, even for red-green colour-blind readers."""
_GREY = "#666666"
_BRANCH = "#9a9a9a"
_FEW = 3
"""Minimum number of boxes needed to show how fields grow."""


def default_boxes(rows: Sequence[Growth]) -> list[Growth]:
    """Return the layers whose boxes are drawn by default: for each jump, the last layer whose field can be drawn.

    If there are few jumps, evenly spaced layers are drawn instead.
    """
    grown = [row for row in rows if row.grew and _drawable(row)]
    last = {row.field.jump: row for row in grown}
    if len(last) >= _FEW:
        return list(last.values())[-len(_COLORS) :]
    step = -(-len(grown) // len(_COLORS)) or 1  # rounded up
    return grown[::-1][::step][::-1]  # from the end, so that the last layer is among them


def _drawable(row: Growth) -> bool:
    """Return whether the field is a box larger than one position, and the layer's units lie along the input's axes."""
    size = row.field.size
    return all(isinstance(n, int) for n in size) and any(n != 1 for n in size) and len(row.units) == len(size)


def draw(path: str, report: Report, rows: Sequence[Growth], boxes: Sequence[Growth]) -> None:
    """Draw receptive fields to a .png, .svg or .pdf file.

    Args:
        path: the file.
        report: the report of the model, which is named in the title.
        rows: all layers in order, for growth over depth.
        boxes: layers whose middle unit's field is drawn on the input (its last two spatial axes).

    Raises:
        OutputError, MissingPackageError: as `plots.picture.check_picture` does.
        CnncostError: there are no rows, because nothing sees the input.
    """
    if not rows:
        raise CnncostError(f"{report.model}: nothing sees the input, so there is nothing to draw")
    with picture(path, columns=2, size=(5.5, 5.2), title=f"Receptive fields of {report.model}") as (left, right):
        left.grid(visible=False)
        right.grid(visible=False)
        _boxes(left, boxes)
        _growth(right, rows, boxes)


def _boxes(axes: Axes, rows: Sequence[Growth]) -> None:
    """Draw the input and the field of each layer's middle unit, including any part beyond the border."""
    from matplotlib.patches import Rectangle

    axes.set_title("input, with the field of each layer's middle unit", fontsize=9)
    if not rows:
        axes.text(0.5, 0.5, "no layer's field is a number", ha="center", va="center", color=_GREY)
        axes.set_axis_off()
        return
    height, width = _plane(rows[0].field.input_size)
    axes.add_patch(Rectangle((0, 0), width, height, facecolor="#f0f0f0", edgecolor=_GREY))
    low, high = [0.0, 0.0], [float(height), float(width)]
    for row, color in reversed(list(zip(rows, _COLORS, strict=False))):
        (top, tall), (left, wide) = _middle(row)
        axes.add_patch(Rectangle((left, top), wide, tall, facecolor=color, alpha=0.12))
        axes.add_patch(Rectangle((left, top), wide, tall, fill=False, edgecolor=color, linewidth=1.6))
        for i, (start, length) in enumerate(((top, tall), (left, wide))):
            low[i], high[i] = min(low[i], start), max(high[i], start + length)
    margin = 0.04 * max(high[0] - low[0], high[1] - low[1])
    axes.set_xlim(low[1] - margin, high[1] + margin)
    axes.set_ylim(high[0] + margin, low[0] - margin)
    axes.set_aspect("equal" if len(rows[0].field.input_size) > 1 else "auto")
    axes.set_xlabel("column" if len(rows[0].field.input_size) > 1 else "position")
    if len(rows[0].field.input_size) > 1:
        axes.set_ylabel("row")
    else:
        axes.set_yticks([])
    handles = [Rectangle((0, 0), 1, 1, color=color) for _, color in zip(rows, _COLORS, strict=False)]
    names = [f"{row.name}: {along(plain(row.field.size))}" for row in rows]
    handles.append(Rectangle((0, 0), 1, 1, facecolor="#f0f0f0", edgecolor=_GREY))
    names.append(f"input: {'×'.join(map(str, rows[0].field.input_size))}")
    axes.legend(handles, names, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, frameon=False, fontsize=8)


def _plane(sizes: Sequence[int]) -> tuple[int, int]:
    """Return height and width of the drawn input: its last two axes; a single axis becomes a strip."""
    return (sizes[-2], sizes[-1]) if len(sizes) > 1 else (max(1, sizes[0] // 4), sizes[0])


def _middle(row: Growth) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return start and length of the middle unit's field, vertically and horizontally."""
    field = row.field
    spans: list[tuple[float, float]] = []
    along_input = len(row.units) == len(field.size)  # whether the layer's units lie along the input's axes
    for axis, (size, jump, start) in enumerate(zip(field.size, field.jump, field.start, strict=True)):
        if isinstance(size, Extent) or isinstance(jump, Extent) or isinstance(start, Extent):
            spans.append((0.0, float(field.input_size[axis])))
        elif along_input:
            spans.append((float(start + jump * (row.units[axis] // 2)), float(size)))
        else:
            spans.append(((field.input_size[axis] - size) / 2, float(size)))
    if len(spans) == 1:
        return (0.0, float(_plane(field.input_size)[0])), spans[0]
    return spans[-2], spans[-1]


Points: TypeAlias = list[tuple[int, int]]
"""Layers by their index in order of execution, each with the size of its field."""


def paths(points: Points) -> tuple[Points, list[Points]]:
    """Return the layers with the largest field so far, and the runs of other consecutive layers.

    In order of execution, a shortcut follows the layers that it bypasses, so a single line would zigzag.
    """
    main: Points = []
    shorter: list[Points] = []
    largest, in_run = -1, False
    for place, size in points:
        if size >= largest:
            main.append((place, size))
            largest, in_run = size, False
        elif in_run:
            shorter[-1].append((place, size))
        else:
            shorter.append([(place, size)])
            in_run = True
    return main, shorter


def _lines(axes: Axes, rows: Sequence[Growth]) -> None:
    """Draw one line per group of axes with equal sizes; dashes keep a line visible below those drawn over it."""
    axes_by_sizes: dict[tuple[object, ...], list[int]] = {}
    for axis in range(len(rows[0].field.size)):
        axes_by_sizes.setdefault(tuple(row.field.size[axis] for row in rows), []).append(axis)
    dashes = ("-", (0, (5, 4)), (0, (1.5, 4)))
    for number, (sizes, along_axes) in enumerate(axes_by_sizes.items()):
        name = f"ax{'i' if len(along_axes) == 1 else 'e'}s {', '.join(map(str, along_axes))}"
        points = [(i, size) for i, size in enumerate(sizes) if isinstance(size, int)]
        if not points:
            continue
        main, shorter = paths(points)
        color = _COLORS[3 * number % len(_COLORS)]  # neighbours in the palette are too similar
        axes.plot(
            *zip(*main, strict=True), ".", ls=dashes[number % 3], drawstyle="steps-mid", color=color,
            label=name if len(axes_by_sizes) > 1 else "size", linewidth=1.6, ms=3, zorder=2 + number / 10,
        )  # fmt: skip
        for branch_number, branch in enumerate(shorter):
            # one entry in the legend stands for all branches
            label = "on a shorter path, as a shortcut" if branch_number == number == 0 else None
            axes.plot(
                *zip(*branch, strict=True), ".", ls="-", drawstyle="steps-mid", color=_BRANCH, label=label,
                linewidth=1.2, ms=3, zorder=1.9,
            )  # fmt: skip


def _growth(axes: Axes, rows: Sequence[Growth], boxes: Sequence[Growth]) -> None:
    """Draw size over depth, and a grey band from the first layer with a global field."""
    from matplotlib.ticker import MaxNLocator

    axes.set_title("size over depth", fontsize=9)
    axes.set_xlabel("layer, in order of execution")
    axes.set_ylabel("input positions")
    _lines(axes, rows)
    for i, size in enumerate(sorted(set(rows[0].field.input_size))):
        axes.axhline(size, color=_GREY, linestyle="--", linewidth=1)
        offset = (2 + 60 * i, 3)  # so that labels of similar sizes don't overlap
        axes.annotate(f"input {size}", (0, size), xytext=offset, textcoords="offset points", color=_GREY)
    global_layers = [i for i, row in enumerate(rows) if any(str(n) == "global" for n in row.field.size)]
    if global_layers:
        axes.axvspan(global_layers[0] - 0.5, len(rows) - 0.5, color="#dddddd", alpha=0.6, linewidth=0, label="global")
    for row, color in zip(boxes, _COLORS, strict=False):
        inside = [i for i, each in enumerate(rows) if is_within(each.path, row.path)]
        place, first_size = inside[-1] if inside else 0, row.field.size[0]
        if isinstance(first_size, int):
            axes.plot([place], [first_size], "o", color=color, markersize=6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_ylim(bottom=0)
    axes.set_xlim(-0.5, max(len(rows) - 0.5, 0.5))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=4, frameon=False, fontsize=8)
