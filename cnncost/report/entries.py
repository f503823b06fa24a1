"""The displayed rows of a report's tables: names, notes after the names, and a legend that explains them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cnncost import units
from cnncost.report.columns import By, Row, table
from cnncost.report.data import ReportData
from cnncost.report.naming import OWN, is_within
from cnncost.report.outline import Item, TreeRow, depth_of, fitting_depth, inside, layer_names, outline, visible
from cnncost.report.ranking import Ranking, ranked
from cnncost.report.rows import Module

ROWS = 60
"""Row limit of the module tree if no depth is passed: about one and a half screens."""
_STATUS_NOTES = {
    "used": " (used)", "unused": " (not called)", "data": " (by data)", "failed": " (failed)",
    "unreached": " (not reached)",
}  # fmt: skip


class Entry(NamedTuple):
    """A displayed row.

    Attributes:
        name: displayed name; in a tree the last part of the path.
        row: its numbers.
        tail: note after the name: number of equal siblings, number of calls, `(not called)`.
        level: level in the tree, from 0; None if the table is not a tree.
        full, full_tail: name and note for tables that don't show the tree: the whole path.
        style: `parent`, `own`, `biggest`, `total`, or empty.
    """

    name: str
    row: Row
    tail: str = ""
    level: int | None = None
    full: str = ""
    full_tail: str = ""
    style: str = ""


class Entries(NamedTuple):
    """The displayed rows, ending with the total, and lines that explain the notes in them."""

    rows: list[Entry]
    legend: list[str]


def entries(report: ReportData, by: By, depth: int | None, requested: Ranking | None = None) -> Entries:
    """Return the displayed rows of a view.

    Raises:
        CnncostError: there is no such view, or it lacks the column to sort by.
    """
    if requested is not None:
        rows, legend = _ranked(report, by, requested)
    else:
        rows, legend = _tree(report, depth) if by == "module" else _flat(report, by)
    if any(row.tail.endswith(_STATUS_NOTES["used"]) for row in rows):
        legend.append("(used): never called itself, but an op outside it reads its parameters")
    if any(row.tail.endswith(_STATUS_NOTES["data"]) for row in rows):
        legend.append("(by data): its numbers depend on the values that the model was run on")
    return Entries([*rows, _total(report)], legend)


def _flat(report: ReportData, by: By) -> Entries:
    """Return the entries of a view that is a list, of layers or of ops."""
    _, rows = table(report, by)
    names = layer_names(report) if by == "layer" else [op.name for op in report.ops]
    biggest = () if report.biggest is None else (report.biggest.path,)
    shown = [
        Entry(
            name, row, tail=note(row), full=name, full_tail=note(row),
            style="biggest" if getattr(row, "path", None) in biggest else "",
        )
        for name, row in zip(names, rows, strict=True)
    ]  # fmt: skip
    return Entries(shown, _flat_legend(shown, by))


def _flat_legend(shown: list[Entry], by: By) -> list[str]:
    own = f"; {OWN}: what it runs itself, outside the modules in it" if any(OWN in row.name for row in shown) else ""
    return [f"each row is one call of a module{own}"] if by == "layer" else []


def _ranked(report: ReportData, by: By, requested: Ranking) -> Entries:
    ranking = ranked(report, by, requested)
    rows, _ = _flat(report, by)
    shown = [rows[index] for index in ranking.order]
    legend = _flat_legend(shown, by)
    if ranking.rest is not None:
        shown.append(Entry(ranking.name, ranking.rest, full=ranking.name, style="own"))  # shown like `(own)` rows
    return Entries(shown, [*legend, *ranking.legend])


def _tree(report: ReportData, depth: int | None) -> Entries:
    items = outline(report)
    depth = fitting_depth(items, ROWS) if depth is None else depth
    shown = list(visible(items, depth))
    return Entries(_rows(report, shown), list(_tree_legend([each.item for each in shown], depth, depth_of(items))))


def _rows(report: ReportData, shown: list[TreeRow]) -> list[Entry]:
    biggest = biggest_item([each.item for each in shown], report)
    return [_entry(each, each.item is biggest) for each in shown]


def page_entries(report: ReportData, depth: int | None) -> tuple[list[Entry], int]:
    """Return a row for every module and the total, and how many levels of the tree are initially open on a page."""
    items = outline(report, fold=False)
    rows = _rows(report, list(visible(items, depth_of(items))))
    return [*rows, _total(report)], fitting_depth(items, ROWS) if depth is None else depth


def shortened(rows: list[Entry], max_rows: int | None) -> tuple[list[Entry], str]:
    """Return at most `max_rows` rows and the total, and a sentence that says so if rows are left out.

    A tree loses whole levels, the deepest first, because the rows above them include their numbers; if not even the
    first level fits, it is cut at its end, like a list.
    """
    *listed, total = rows
    if max_rows is None or len(listed) <= max_rows:
        return rows, ""
    levels = sorted(entry.level or 0 for entry in listed)
    too_deep = max(levels[max_rows], 1)  # the first level that does not fit as a whole; level 0 is cut instead
    first_rows = [entry for entry in listed if (entry.level or 0) < too_deep][:max_rows]
    caption = f"{units.exact(len(first_rows))} of {units.counted(len(listed), 'row')} are in this table"
    return [*first_rows, total], f"{caption}; with scripts the page shows all, and --format csv has all"


def _total(report: ReportData) -> Entry:
    return Entry("total", report.totals, full="total", style="total")


def child_entries(report: ReportData, path: str) -> list[Entry]:
    """Return rows for a module's children and for the ops that it runs itself; empty for a leaf."""
    return [_entry(tree_row, biggest=False) for tree_row in visible(inside(report, path), 1)]


def _entry(tree_row: TreeRow, biggest: bool) -> Entry:
    item, level = tree_row
    style = "biggest" if biggest else "own" if item.own else "parent" if item.children else ""
    suffix = note(item.row)
    tail, full_tail = (f" ×{n}{suffix}" if n > 1 else suffix for n in (item.siblings, len(item.paths)))
    return Entry(item.name, item.row, tail, level, full_name(item), full_tail, style)


def full_name(item: Item) -> str:
    """Return the path of an item, or `first … last` for folded rows."""
    first, last = item.paths[0], item.paths[-1]
    if item.own:
        return f"{first} {OWN}".strip()
    return f"{first} … {last}" if first != last else first or item.name


def _tree_legend(shown: list[Item], depth: int, deepest: int) -> Iterator[str]:
    if any(item.siblings > 1 for item in shown):
        yield "a … b ×n: n equal modules, their numbers added up"
    if any(item.own for item in shown):
        yield f"{OWN}: what a module runs itself, outside the modules in it"
    if depth < deepest:
        yield f"{depth} of {units.counted(deepest, 'level')} shown; each row includes all below it"


def biggest_item(items: list[Item], report: ReportData) -> Item | None:
    """Return the deepest shown item that includes the layer with the most MACs; None if there is no such layer."""
    if report.biggest is None:
        return None
    path, innermost = report.biggest.path, None
    for item in items:
        includes = path in item.paths if item.own else any(is_within(path, above) for above in item.paths)
        if includes:
            innermost = item
    return innermost


def note(row: Row) -> str:
    """Return the note after a module's name, such as ` (2 calls)`, with a leading space; often empty."""
    status = _STATUS_NOTES.get(getattr(row, "status", ""), "")
    if isinstance(row, Module) and row.status in {"called", "data", "failed"} and row.calls > 1:
        return f" ({row.calls} calls){status}"
    return status
