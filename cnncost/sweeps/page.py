"""The interactive page of a sweep: its table, and the data for the page's JavaScript."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from cnncost import units
from cnncost.budget.join import less_is_better
from cnncost.budget.render.models import Figure, models_data
from cnncost.render.document import Column, Document, Part
from cnncost.render.document import Table as TablePart
from cnncost.report.interactive.encoding import Json
from cnncost.sweeps.figures import FIGURES
from cnncost.sweeps.table import Table, document

MOST = 2000
"""Maximum number of rows of the static table."""
_LOOKS = {"number": "figure"} | {look: look for look in ("count", "bytes", "seconds", "ratio", "share")}
"""The page's name for a column's format, by the column's kind; all other kinds are text."""
_MORE = frozenset("accuracy acc top1 top5 map miou auc f1 score bleu throughput".split())
"""Words in a joined column's name which mean that more is better."""


def page(result: Table) -> Document:
    """Return the document, with its table cut to `MOST` rows, and the data for the page's JavaScript."""
    plain = document(result)
    return replace(plain, parts=tuple(map(_cut, plain.parts)), page_data=page_data(result))


def page_data(result: Table) -> Json:
    """Return the data for the page's JavaScript: rows by column, the axes drawn first, and the batch sizes.

    If there are several batch sizes, each has a Pareto front of its own.
    """
    records = [*result.records()]
    figures = [*_figures(result, records)]
    numeric = [figure.name for figure in figures if figure.numeric]
    results = [name for name in numeric if name not in _grid_columns(result)]
    usual = [name for name in ("macs", "accuracy", "params") if name in numeric]
    preferred = [*dict.fromkeys([*usual, *results, *numeric])]
    batches = [record.get("batch") for record in records]
    sentences = [f"{units.counted(result.failed, 'row')} failed: their column error says why"] if result.failed else []
    return models_data(
        _names(result, records), figures,
        axes=((preferred or [""])[0], (preferred[1:] or preferred or [""])[0]), work=batches,
        each="batch size" if len({*batches}) > 1 else "", sentences=sentences,
    )  # fmt: skip


def _cut(part: Part) -> Part:
    if not isinstance(part, TablePart) or len(part.rows) <= MOST:
        return part
    caption = f"{MOST:,} of {len(part.rows):,} rows are in this table; with JavaScript the page shows all, as does CSV"
    return replace(part, rows=part.rows[:MOST], caption=caption)


def _names(result: Table, records: list[dict[str, Any]]) -> list[str]:
    """Return a distinct name for each row: the model and the values that vary."""
    varied = [name for name in _grid_columns(result) if len({record[name] for record in records}) > 1]
    return [" ".join([record["model"], *(f"{name}={record[name]}" for name in varied)]) for record in records]


def _grid_columns(result: Table) -> list[str]:
    """Return the columns of the grid's values: those between `model` and `input`."""
    return list(result.names[1 : result.names.index("input")])


def _figures(result: Table, records: list[dict[str, Any]]) -> Iterator[Figure]:
    """Yield the columns with values, except model, input and lower bounds, and trace if all rows are static."""
    bounds = [frozenset((record["lower_bound"] or "").split()) for record in records]
    grid_columns = _grid_columns(result)
    for column in result.columns:
        values = [record[column.name] for record in records]
        if column.name in {"model", "lower_bound", "input"} or all(value is None for value in values):
            continue
        if column.name == "trace" and "real" not in values:
            continue
        yield Figure(
            column.name, column.heading, column.meaning or column.heading, _LOOKS.get(column.kind, "text"),
            "" if column.name in grid_columns else _better(column), values,
            [i for i, names in enumerate(bounds) if column.name in names],
        )  # fmt: skip


def _better(column: Column) -> str:
    """Return which values are better: `less` for a cost, `more` for an accuracy; by name for a joined column, or empty.

    Ratios and shares have no better direction.
    """
    if column.name == "accuracy":
        return "more"
    if column.name in FIGURES and column.kind in {"ratio", "share"}:
        return ""
    if column.name in FIGURES or column.name.startswith("seconds_") or less_is_better(column.name):
        return "less"
    return "more" if _MORE & {*re.split(r"[^a-z0-9]+", column.name.lower().replace("@", ""))} else ""
