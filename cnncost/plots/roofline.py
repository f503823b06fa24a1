"""The roofline plot: one dot per layer below a device's ceilings."""

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING

from cnncost import units
from cnncost.passes.roofline import Predicted
from cnncost.plots.marks import BOUNDS, keep_inside
from cnncost.plots.picture import picture
from cnncost.report import heading
from cnncost.report.prediction import Prediction, Row, rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

_LABELS = 5


def draw(prediction: Prediction, path: str) -> None:
    """Draw FLOP/s over FLOPs per byte, both logarithmic; a dot's area is its share of the time.

    Raises:
        OutputError: an unknown file ending, or a path that can't be written.
        MissingPackageError: matplotlib is not installed.
    """
    found = prediction.roofline
    dots = [row for row in rows(prediction) if row.predicted.flops and row.predicted.intensity]
    with picture(path, size=(8.0, 5.0)) as (axes,):
        axes.set_xscale("log")
        axes.set_yscale("log")
        _ceilings(axes, prediction, dots)
        texts = _dots(axes, dots, found.total.seconds)
        axes.set_xlabel("arithmetic intensity, FLOP/B")
        axes.set_ylabel("predicted FLOP/s")
        axes.yaxis.set_major_formatter(lambda value, _: units.si(value, ""))
        axes.set_title(
            f"{prediction.report.model}, {heading.inputs(prediction.report)}\n{found.device.title}, "
            f"{units.duration(found.total.seconds)}; a dot's area is its share of the time",
            fontsize=10, loc="left",
        )  # fmt: skip
        keep_inside(axes, texts)


def _ceilings(axes: Axes, prediction: Prediction, dots: list[Row]) -> None:
    """Draw the compute ceiling of the dtype with the most FLOPs, and a bandwidth slope per memory level."""
    found, device = prediction.roofline, prediction.roofline.device
    formats = [time for time in found.nodes if time is not None and time.flops and time.dtype]
    dtype = found.dtype or (max(formats, key=lambda time: time.flops).dtype if formats else next(iter(device.flops)))
    peak = device.peak(dtype)
    intensities = [row.predicted.intensity or 1.0 for row in dots] or [1.0]
    low, high = min(intensities) / 3, max([*intensities, 2 * peak / (device.bandwidth or peak)]) * 3
    levels = [(f"cache up to {units.data(level.size)}", level.bandwidth) for level in device.caches]
    if device.bandwidth:
        levels.append(("memory", device.bandwidth))
    for name, bandwidth in levels:
        ridge = min(max(peak / bandwidth, low), high)
        axes.plot([low, ridge], [low * bandwidth, ridge * bandwidth], color="#444444", linewidth=1.2,
                  linestyle="-" if name == "memory" else ":")  # fmt: skip
        middle = (low * ridge) ** 0.5
        axes.annotate(f"{name}, {units.si(bandwidth, 'B/s')}", (middle, middle * bandwidth), fontsize=8, ha="right",
                      va="bottom", color="#444444", xytext=(-6, 2), textcoords="offset points")  # fmt: skip
    start = peak / max((bandwidth for _, bandwidth in levels), default=peak / low)
    axes.plot([start, high], [peak, peak], color="#444444", linewidth=1.2)
    axes.annotate(f"{dtype}, {units.si(peak, 'FLOP/s')}", (start, peak), fontsize=8, ha="right", va="bottom",
                  color="#444444", xytext=(-6, 2), textcoords="offset points")  # fmt: skip
    rates = [row.predicted.flops / row.predicted.seconds for row in dots]
    axes.set_ylim(min([low * bandwidth for _, bandwidth in levels] + rates + [peak]) / 3, 4 * peak)


def _dots(axes: Axes, dots: list[Row], seconds: float) -> list[Annotation]:
    """Draw the dots and their legend; return the labels of the heaviest, which `keep_inside` still has to place."""
    for bound in ("compute", "memory", "launch"):
        of = [row.predicted for row in dots if row.predicted.bound == bound]
        if of:
            axes.scatter(
                [p.intensity or 0.0 for p in of], [p.flops / p.seconds for p in of], color=BOUNDS[bound],
                s=[12 + 1500 * p.seconds / seconds for p in of], alpha=0.6, linewidths=0, label=f"{bound}-bound",
            )  # fmt: skip
    below, texts = 0, []
    for name, p in _labels(dots):  # there is room right of a slope and below a roof
        flat = p.bound == "compute"
        below += flat
        texts.append(axes.annotate(
            name, (p.intensity or 0.0, p.flops / p.seconds), fontsize=8,
            xytext=(-4, -12 - 13 * below) if flat else (16, -7), ha="right" if flat else "left",
            textcoords="offset points", va="center", arrowprops={"arrowstyle": "-", "alpha": 0.4},
        ))  # fmt: skip
    if dots:
        legend = axes.legend(loc="lower right")
        for handle in legend.legend_handles:
            if handle is not None and hasattr(handle, "set_sizes"):
                handle.set_sizes([40])
    return texts


def _labels(dots: list[Row]) -> list[tuple[str, Predicted]]:
    """Labels of the heaviest dots; dots at nearly the same point share one."""
    places: dict[tuple[int, int], list[Row]] = {}
    for row in dots:
        p = row.predicted
        place = round(8 * log10(p.intensity or 1.0)), round(8 * log10(p.flops / p.seconds))
        places.setdefault(place, []).append(row)
    heaviest = sorted(places.values(), key=lambda group: -sum(row.predicted.seconds for row in group))[:_LABELS]
    named = []
    for group in sorted(heaviest, key=lambda group: -(group[0].predicted.intensity or 0.0)):
        slowest = max(group, key=lambda row: row.predicted.seconds)
        others = f" and {len(group) - 1} more" if len(group) > 1 else ""
        named.append(((slowest.name or "(own)") + others, slowest.predicted))
    return named
