"""Plot of a law: its curve along each variable, with the points that were analyzed directly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnncost import units
from cnncost.errors import InputError
from cnncost.laws.data import HEADINGS
from cnncost.plots.picture import COLORS, picture

if TYPE_CHECKING:
    from cnncost.laws.data import LawsData
    from cnncost.laws.law import Law

_MOST = 400
"""Maximum number of steps of a curve."""
_TIMES = 4
"""A curve ends at this multiple of the model's own size, unless the law ends earlier."""


def draw_laws(laws: LawsData, path: str | Path, quantity: str = "macs") -> None:
    """Draw the law of one quantity along each variable, with the other variables at the model's own sizes.

    Raises:
        InputError: the quantity has no law, or none at the model's own sizes.
        OutputError, MissingPackageError: as `picture` does.
    """
    law = laws[quantity]
    if not law.known:
        raise InputError(f"picture: {quantity} has no law: {law.why}")
    if not all(span.has(size) for span, size in zip(law.domain, law.base, strict=True)):
        raise InputError(
            f"picture: the law of {quantity} does not hold at the model's own sizes; give others with --input"
        )
    with picture(path, len(law.names), (4.6, 3.6), laws.model) as all_axes:
        for index, axes in enumerate(all_axes):
            _draw(axes, law, index)


def _draw(axes: object, law: Law, index: int) -> None:
    """Draw one variable's curve and points."""
    from matplotlib.axes import Axes
    from matplotlib.ticker import FuncFormatter

    assert isinstance(axes, Axes)  # typed as object because matplotlib is imported only here
    as_text = units.data if "peak" in law.quantity or law.quantity in {"bytes", "activations"} else units.compact
    span, own_size = law.domain[index], law.base[index]
    last = min(span.high, max(_TIMES * own_size, span.low + 8 * span.step))  # at least 8 steps of a coarse lattice
    count = (last - span.low) // span.step
    sizes = [span.low + span.step * (k * count // min(count, _MOST)) for k in range(min(count, _MOST) + 1)]
    axes.plot(sizes, [law.at(_with_size(law.base, index, size)) for size in sizes], color=COLORS[0], linewidth=1.2)
    analyzed = sorted(
        (point[index], value) for point, value in law.samples.items()
        if point[index] <= last and _with_size(point, index, own_size) == law.base
    )  # fmt: skip
    axes.plot([x for x, _ in analyzed], [y for _, y in analyzed], "o", color=COLORS[1], markersize=3.5)
    others = [f"{s} = {n}" for i, (s, n) in enumerate(zip(law.symbols, law.base, strict=True)) if i != index]
    axes.set_title(f"{HEADINGS[law.quantity]}{', ' + ', '.join(others) if others else ''}", fontsize=9, loc="left")
    axes.set_xlabel(f"{law.names[index]}, points: direct analyses")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: as_text(round(value))))


def _with_size(point: Sequence[int], index: int, size: int) -> tuple[int, ...]:
    return (*point[:index], size, *point[index + 1 :])
