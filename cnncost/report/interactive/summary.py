"""The interactive page of one model: its static document, and the data that the page's JavaScript draws."""

from __future__ import annotations

from dataclasses import replace

from cnncost import units
from cnncost.garbage import gc_disabled
from cnncost.render.document import Document
from cnncost.report import heading
from cnncost.report.data import ReportData
from cnncost.report.document import page
from cnncost.report.interactive import formulas, over_time, reaches
from cnncost.report.interactive.encoding import Json
from cnncost.report.interactive.profiles import Profiles
from cnncost.report.interactive.tables import (
    TreeItem,
    column_data,
    columns_of,
    encode,
    folded_indices,
    tree_of,
    widened,
)

MOST_ROWS = 2000
"""Maximum number of rows of each static table, shown by browsers without JavaScript."""
_MOST_ROWS_IN_NOTEBOOK = 300
_MOST_MODULES = 10_000
"""In a notebook, which stores the pages it displays, the page of a model with more modules has no JavaScript."""
SCHEMA = 1
"""Version of the data's layout; to be incremented with each change."""


def interactive_page(report: ReportData, depth: int | None = None) -> Document:
    """Return a report's interactive page; without JavaScript it looks like `page`."""
    with gc_disabled():
        return replace(page(report, depth, max_rows=MOST_ROWS), page_data=_summary(report))


def notebook_page(report: ReportData) -> Document:
    """Return the page for a notebook: a shortened module tree, made interactive unless the model is large."""
    plain = page(report, whole=False, max_rows=_MOST_ROWS_IN_NOTEBOOK)
    with gc_disabled():
        return plain if len(report.modules) > _MOST_MODULES else replace(plain, page_data=_summary(report))


def summary(report: ReportData) -> Json:
    """Return the data that the page's JavaScript draws for one model."""
    with gc_disabled():
        return _summary(report)


def _summary(report: ReportData) -> Json:
    wide = widened(report)
    columns = columns_of(wide.report)
    tree, folded = tree_of(report, fold=False), tree_of(report, fold=True)
    if len(folded) == len(tree):
        folded = []
    table = encode(tree, wide, columns)
    table_folded = encode(folded, wide, columns) if folded else None
    row_of = _rows(tree)
    data: Json = {
        # "replaces": first headings of the static tables that JavaScript hides because it draws the same rows
        "schema": SCHEMA, "view": "summary", "replaces": ["module", "layer"],
        "title": heading.title(report), "inputs": heading.inputs(report),
        "batch": report.batch, "lower_bound": report.totals.lower_bound, "columns": column_data(columns),
    }  # fmt: skip
    graph = report.graph
    if graph is not None:
        profiles = Profiles(graph)
        table["profile"] = profiles.of(tree)
        if table_folded is not None:
            table_folded["profile"] = profiles.of(folded)
        data["profiles"], data["devices"] = profiles.encode()
        data["formulas"] = formulas.encode(graph, tree)
    if table_folded is not None:
        table_folded["first"] = _first(tree, folded)
        data["fold"] = list(folded_indices(tree, folded))
    runs, why_no_runs = over_time.encode(report, row_of)
    fields, why_no_fields = reaches.encode(report, tree)
    return data | {
        "rows": table, "folded": table_folded, "memory": {"runs": runs, "why": why_no_runs},
        "reach": {"found": fields, "why": why_no_fields},
        "units": {"count": units.COUNT_UNITS, "bytes": units.BYTE_UNITS},
    }  # fmt: skip


def _rows(tree: list[TreeItem]) -> dict[str, int]:
    """Return the index of each module's row by path: its `(own)` row if it has one."""
    rows: dict[str, int] = {}
    for i, (item, _) in enumerate(tree):
        if item.own or item.paths[0] not in rows:
            rows[item.paths[0]] = i
    return rows


def _first(tree: list[TreeItem], folded: list[TreeItem]) -> list[int]:
    """Return, for each row of the folded tree, the index of its first module's row in the whole tree."""
    place = {(item.paths[0], item.own): i for i, (item, _) in enumerate(tree)}
    return [place[item.paths[0], item.own] for item, _ in folded]
