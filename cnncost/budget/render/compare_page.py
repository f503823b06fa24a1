"""Models side by side, as data for the page's JavaScript: a plot of two figures, and one with all figures as axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cnncost import units
from cnncost.budget.compare import Compared, incomparable
from cnncost.budget.join import Joined, less_is_better
from cnncost.budget.render.compare import FRONT, document, inputs, lower_bounds, why_no_front
from cnncost.budget.render.models import Figure, models_data
from cnncost.render.document import Document
from cnncost.render.values import show
from cnncost.report.interactive.encoding import Json


def page(rows: Sequence[Compared], joined: Joined | None = None) -> Document:
    """Return the document with the data that the page's JavaScript draws."""
    title = f"{units.counted(len(rows), 'model')} side by side"
    return replace(document(rows, joined), title=title, page_data=page_data(rows, joined))


def page_data(rows: Sequence[Compared], joined: Joined | None = None) -> Json:
    """Return the data that the page's JavaScript draws."""
    why = why_no_front(rows, joined)
    quality = None if joined is None else joined.quality
    return models_data(
        [row.name for row in rows], [*_figures(rows, joined)],
        axes=("macs", _joined_name(quality.column)) if quality is not None else ("params", "macs"),
        work=None if incomparable(rows) else [row.batch for row in rows],
        sentences=inputs(rows) + ([why] if why else []),
        warnings=lower_bounds(rows) + [f"{row.name}: {text}" for row in rows for text in row.depends_on]
        + list(joined.notes if joined is not None else ()),
        notes={i: FRONT for i, row in enumerate(rows) if row.front},
    )  # fmt: skip


def _joined_name(column: str) -> str:
    """Return the name of a joined column in the page's data, distinct from all columns of the comparison."""
    return f"joined {column}"


def _figures(rows: Sequence[Compared], joined: Joined | None) -> Any:
    have_peaks = all(row.peak is not None for row in rows)
    bounds = [i for i, row in enumerate(rows) if row.lower_bound]
    for name in dict.fromkeys(name for row in rows for name, _ in row.sizes):
        values = tuple(dict(row.sizes).get(name) for row in rows)
        yield Figure(f"vary {name}", name, f"{name}, which varies", "figure", "", values)
    for name in dict.fromkeys(name for row in rows for name, _ in row.joined):
        quality = joined.quality if joined is not None else None
        better = "less" if less_is_better(name) else ""
        if quality is not None and quality.column == name and not better:
            better = "more" if quality.more else "less"
        values = tuple(dict(row.joined).get(name) for row in rows)
        yield Figure(_joined_name(name), name, f"{name}, from the joined table", "figure", better, values)
    yield Figure("params", "params", "parameters, each counted once", "count", "less",
                  tuple(row.params for row in rows))  # fmt: skip
    yield Figure("macs", "MACs", "multiply-accumulates", "count", "less", tuple(row.macs for row in rows), bounds)
    yield Figure("flops", "FLOPs", "floating-point operations", "count", "less",
                  tuple(row.flops for row in rows), bounds)  # fmt: skip
    heading, meaning = "weights", "bytes of parameters and buffers"
    if have_peaks:
        heading, meaning = "peak memory", "bytes alive at the peak of inference"
    memory_bounds = [i for i, row in enumerate(rows) if row.lower_bound or row.unseen] if have_peaks else ()
    yield Figure("memory", heading, meaning, "bytes", "less", tuple(row.memory for row in rows), memory_bounds)
    if have_peaks:
        yield Figure("weight_bytes", "weights", "bytes of parameters and buffers", "bytes", "less",
                      tuple(row.weight_bytes for row in rows), hidden=True)  # fmt: skip
    if len({row.inputs for row in rows}) > 1:
        yield Figure(
            "inputs", "input", "shapes and dtypes", "text", "", tuple(show("tensors", row.inputs) for row in rows)
        )
