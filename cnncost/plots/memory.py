"""Plot of memory over the ops of a run: live bytes by use, and the peak."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnncost import units
from cnncost.passes.memory import USES
from cnncost.plots.picture import picture

if TYPE_CHECKING:
    from cnncost.graph import Graph
    from cnncost.passes.memory import Memory

_COLOURS = ("#0072b2", "#56b4e9", "#999999", "#cccccc", "#009e73", "#cc79a7", "#e69f00", "#d55e00")
"""One per use, in the order of `USES`: Okabe and Ito's colour-blind safe palette."""


def draw(path: str, title: str, graph: Graph, memory: Memory) -> None:
    """Draw the timeline to a .png, .svg or .pdf file.

    Raises:
        OutputError, MissingPackageError: as `plots.picture.check_picture` does.
    """
    curves = memory.curves(graph)
    unit, factor = next((u for u in reversed(units.BYTE_UNITS) if memory.peak.nbytes >= 2 * u[1]), units.BYTE_UNITS[0])
    with picture(path, size=(9.0, 4.5)) as (axes,):
        shown = [use for use in USES if any(curves[use])]
        axes.stackplot(
            range(len(memory.timeline)),
            [[n / factor for n in curves[use]] for use in shown],
            labels=[f"{use}, {units.data(memory.peak.by_use[use])}" for use in shown],
            colors=[_COLOURS[USES.index(use)] for use in shown],
            step="mid",
            linewidth=0,
        )
        for phase, first in memory.phases.items():
            axes.axvline(first, color="#444444", linewidth=0.8, linestyle=":")
            axes.annotate(
                phase,
                (first, 1.0),
                xytext=(3, 3),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                fontsize=8,
            )
        peak = memory.peak
        if peak.node is not None:
            axes.annotate(
                f"peak {units.data(peak.nbytes)}\n{peak.path or 'the model'}",
                (peak.node, peak.nbytes / factor), xytext=(8, 0), textcoords="offset points", fontsize=8, va="bottom",
                bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
            )  # fmt: skip
            axes.plot([peak.node], [peak.nbytes / factor], "ko", markersize=4)
        # leave a line below the title for the phases' names, and room above the curves for the peak's label
        axes.set(xlabel="ops, in the order in which they run", ylabel=f"alive, {unit}", title=f"{title}\n")
        axes.set_xlim(0, max(len(memory.timeline) - 1, 1))
        axes.set_ylim(0, 1.14 * peak.nbytes / factor)
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1.0, 0.5), title="at the peak",
                    fontsize=8)  # fmt: skip
