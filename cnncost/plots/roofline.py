"""The roofline plot: one dot per layer below a device's ceilings."""

from __future__ import annotations

from math import log10, pi, sqrt
from typing import TYPE_CHECKING

from cnncost import units
from cnncost.passes.roofline import Predicted
from cnncost.plots.marks import BOUND_COLOURS, name_points
from cnncost.plots.picture import picture
from cnncost.report import heading
from cnncost.report.columns import AT_LEAST
from cnncost.report.prediction import Prediction, Row, rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

_LABELS = 5
"""Maximum number of labelled dots."""


def draw(prediction: Prediction, path: str) -> None:
    """Draw FLOP/s over FLOPs per byte, both logarithmic; a dot's area is its share of the time.

    Raises:
        OutputError: the file ending is unknown, or the path can't be written.
        MissingPackageError: matplotlib is not installed.
    """
    times = prediction.roofline
    least = AT_LEAST if times.partial else ""
    dots = [row for row in rows(prediction) if row.predicted.flops and row.predicted.intensity]
    with picture(path, size=(8.0, 5.0)) as (axes,):
        axes.set_xscale("log")
        axes.set_yscale("log")
        labels, lines = _ceilings(axes, prediction, dots)
        _dots(axes, dots, times.total.seconds)
        axes.set_xlabel("arithmetic intensity, FLOP/B")
        axes.set_ylabel("predicted FLOP/s")
        axes.yaxis.set_major_formatter(lambda value, _: units.si(value, ""))
        axes.set_title(
            f"{prediction.report.model}, {heading.inputs(prediction.report)}\n{times.device.title}, "
            f"{least}{units.duration(times.total.seconds)}; a dot's area is its share of the time",
            fontsize=10, loc="left",
        )  # fmt: skip
        places = [(p.intensity or 0.0, p.flops / p.seconds) for p in (row.predicted for row in dots)]
        legend = axes.get_legend()
        texts = labels if legend is None else [*labels, legend]
        names = _labels(dots)
        areas = dict(zip(places, _areas([row.predicted for row in dots], times.total.seconds), strict=True))
        radii = {name: sqrt(areas[place] / pi) - 3 for name, place in names.items()}  # less 3: labels touch the edges
        name_points(axes, names, [*places, *lines], radii, texts)


def _ceilings(
    axes: Axes, prediction: Prediction, dots: list[Row]
) -> tuple[list[Annotation], list[tuple[float, float]]]:
    """Draw the compute ceiling of the dtype with the most FLOPs, and a bandwidth slope per memory level.

    Returns:
        The labels next to the lines, and points along the lines, which other labels must not cover.
    """
    times, device = prediction.roofline, prediction.roofline.device
    with_dtype = [time for time in times.nodes if time is not None and time.flops and time.dtype]
    most_used = max(with_dtype, key=lambda time: time.flops).dtype if with_dtype else next(iter(device.flops))
    dtype = times.dtype or most_used
    peak = device.peak(dtype)
    intensities = [row.predicted.intensity or 1.0 for row in dots] or [1.0]
    low, high = min(intensities) / 3, max([*intensities, 2 * peak / (device.bandwidth or peak)]) * 3
    levels = [(f"cache up to {units.data(level.size)}", level.bandwidth) for level in device.caches]
    if device.bandwidth:
        levels.append(("memory", device.bandwidth))
    texts: list[Annotation] = []
    places: list[tuple[float, float]] = []
    for name, bandwidth in levels:
        ridge = min(max(peak / bandwidth, low), high)
        axes.plot([low, ridge], [low * bandwidth, ridge * bandwidth], color="#444444", linewidth=1.2,
                  linestyle="-" if name == "memory" else ":")  # fmt: skip
        middle = (low * ridge) ** 0.5
        texts.append(
            axes.annotate(f"{name}, {units.si(bandwidth, 'B/s')}", (middle, middle * bandwidth), fontsize=8, ha="right",
                          va="bottom", color="#444444", xytext=(-6, 2), textcoords="offset points")
        )  # fmt: skip
        places += [(x, x * bandwidth) for x in _between(low, ridge)]
    # the peak's line begins where it meets the slope of the fastest level
    start = peak / max((bandwidth for _, bandwidth in levels), default=peak / low)
    axes.plot([start, high], [peak, peak], color="#444444", linewidth=1.2)
    texts.append(
        axes.annotate(f"{dtype}, {units.si(peak, 'FLOP/s')}", (start, peak), fontsize=8, ha="right", va="bottom",
                      color="#444444", xytext=(-6, 2), textcoords="offset points")
    )  # fmt: skip
    places += [(x, peak) for x in _between(start, high)]
    rates = [row.predicted.flops / row.predicted.seconds for row in dots]
    axes.set_ylim(min([low * bandwidth for _, bandwidth in levels] + rates + [peak]) / 3, 4 * peak)
    return texts, places


def _between(low: float, high: float) -> list[float]:
    """Return points along a line, evenly spaced on a logarithmic axis, and so dense that no label fits between two."""
    return [low * (high / low) ** (part / 100) for part in range(101)]


def _areas(dots: list[Predicted], seconds: float) -> list[float]:
    """Return the dots' areas in square points, by their share of all seconds; the smallest stay visible."""
    return [12 + 1500 * p.seconds / seconds for p in dots]


def _dots(axes: Axes, dots: list[Row], seconds: float) -> None:
    """Draw the dots and their legend."""
    for bound in ("compute", "memory", "launch"):
        bounded = [row.predicted for row in dots if row.predicted.bound == bound]
        if bounded:
            axes.scatter(
                [p.intensity or 0.0 for p in bounded], [p.flops / p.seconds for p in bounded],
                color=BOUND_COLOURS[bound], s=_areas(bounded, seconds), alpha=0.6, linewidths=0, label=f"{bound}-bound",
            )  # fmt: skip
    if dots:
        legend = axes.legend(loc="lower right")
        for handle in legend.legend_handles:  # the same size for all, whatever the dots' sizes
            if handle is not None and hasattr(handle, "set_sizes"):
                handle.set_sizes([40])


def _labels(dots: list[Row]) -> dict[str, tuple[float, float]]:
    """Return the points of the dots that take the most time, by label; dots at nearly the same point share a label."""
    places: dict[tuple[int, int], list[Row]] = {}
    for row in dots:
        p = row.predicted
        # dots share a label within an eighth of a decade
        place = round(8 * log10(p.intensity or 1.0)), round(8 * log10(p.flops / p.seconds))
        places.setdefault(place, []).append(row)
    slowest_groups = sorted(places.values(), key=lambda group: -sum(row.predicted.seconds for row in group))[:_LABELS]
    named: dict[str, tuple[float, float]] = {}
    for group in sorted(slowest_groups, key=lambda group: -(group[0].predicted.intensity or 0.0)):
        slowest = max(group, key=lambda row: row.predicted.seconds)
        others = f" and {len(group) - 1} more" if len(group) > 1 else ""
        p = slowest.predicted
        named[(slowest.name or "(own)") + others] = (p.intensity or 0.0, p.flops / p.seconds)
    return named
