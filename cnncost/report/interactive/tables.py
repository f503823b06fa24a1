"""The module tree as column-wise tables: one with a row for every module, one with equal siblings folded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from cnncost.errors import CnncostError
from cnncost.render.values import plain, show
from cnncost.report import columns as report_columns
from cnncost.report.columns import Column, without
from cnncost.report.data import ReportData
from cnncost.report.entries import full_name, note
from cnncost.report.fields import with_receptive_fields
from cnncost.report.further import with_columns, with_memory
from cnncost.report.interactive.encoding import Json, dictionary, number
from cnncost.report.outline import Item, depth_of, outline, visible
from cnncost.report.rows import Layer, Module, several
from cnncost.report.schema import SIZES, Look, changed, names, stored, total
from cnncost.report.tree import by_module, windows_of

_HIDDEN = frozenset({"path", "depth", "calls", "unknown", "mask_unknown"})
"""Columns not shown because the row's name, the note after it, or the mark before a number says the same."""
_LAST = (
    "allocated", "saved", "receptive_field", "jump", "start", "kernel", "stride", "input_shape", "buffers", "status",
)  # fmt: skip
"""The last columns, in this order; all others (the costs) come before them."""


class TreeItem(NamedTuple):
    """A row of the tree: the model itself at level 0, else an item of the outline."""

    item: Item
    level: int


class Widened(NamedTuple):
    """A report with all optional columns, and its rows by module path.

    Attributes:
        report: the report.
        modules: each module's row, including its descendants.
        layers: the rows of each module's calls, excluding its descendants.
    """

    report: ReportData
    modules: dict[str, Module]
    layers: dict[str, list[Layer]]


def widened(report: ReportData) -> Widened:
    """Add all optional columns that the recorded run can fill: kernels, inputs, receptive fields, allocated bytes."""
    wide = report
    if report.graph is not None:
        for fill in (with_receptive_fields, with_memory):  # fields first: the user's report then caches them
            try:
                wide = fill(wide)
            except CnncostError:  # a failed forward has no memory figures; a user's rule may fail
                continue
    windows = () if report.graph is None else ("kernel", "stride", "input")
    wide = with_columns(wide, (*windows, "trainable"))
    return Widened(wide, {module.path: module for module in wide.modules}, by_module(wide.layers))


def tree_of(report: ReportData, fold: bool) -> list[TreeItem]:
    """Return the tree's rows, parents first; row 0 is the model. With `fold`, a run of equal siblings is one row."""
    model = report.modules[0]
    items = outline(report, fold)
    # the outline of a model without children is the model itself, which is row 0 already
    below = items if any(item.paths != ("",) or item.own for item in items) else ()
    root = Item(report.model, ("",), model, children=below)
    rows = [TreeItem(each, level + 1) for each, level in visible(below, depth_of(below))]
    return [TreeItem(root, 0), *rows]


def parents(levels: Iterable[int]) -> list[int]:
    """Return the index of each row's parent, given the rows' levels; 0 for the model itself."""
    indices, path = [], [0]
    for i, level in enumerate(levels):
        del path[level:]  # leaves this row's ancestors
        indices.append(path[-1] if path else 0)
        path.append(i)
    return indices


def columns_of(report: ReportData) -> list[Column]:
    """Return the columns after the row's name, without those that are empty in all rows."""
    shown, _ = report_columns.table(report, "module")
    hidden: frozenset[str] = _HIDDEN | (set() if report.totals.frozen_params else {"trainable_params", "frozen_params"})
    filled = [column for column in without(shown, hidden) if any(_has(column, row) for row in report.modules)]
    return sorted(filled, key=_place)


def _place(column: Column) -> int:
    """Return the index in `_LAST` of a column, or of the stored column that it follows; -1 if it has none there."""
    name = stored(Module, column.name)
    return _LAST.index(name) if name in _LAST else -1


def _has(column: Column, row: Module) -> bool:
    """Return whether the row's value is worth a column: neither empty nor the column's usual value."""
    usual = {"buffers": 0, "status": "called"}
    return column.of(row) not in (None, "", (), usual.get(column.name))


def column_data(columns: Sequence[Column]) -> list[Json]:
    """Return names, headings and formats of the columns, for the page's JavaScript."""
    return [
        {"name": c.name, "heading": c.heading, "meaning": c.meaning, "look": c.look, "right": c.right, "sums": c.summed}
        for c in columns
    ]


def encode(tree: Sequence[TreeItem], wide: Widened, columns: Sequence[Column]) -> Json:
    """Return the rows of a tree by column.

    `own` and `biggest` list row indices; dicts keyed by row index leave out most rows. `together` is the number of
    modules that a folded row sums, and `labels` its full name.
    """
    extra = _widened_columns(columns)
    rows = [_row(each.item, wide, extra) for each in tree]
    numeric = [column for column in columns if column.look in SIZES]
    marks: dict[str, dict[int, str]] = {}
    for i, row in enumerate(rows):
        if row.unknown or row.mask_unknown:
            for column in columns:
                if mark := column.cell(row).mark:
                    marks.setdefault(column.name, {})[i] = mark
    biggest = wide.report.biggest
    return {
        "name": [each.item.name for each in tree],
        "level": [each.level for each in tree],
        "own": [i for i, each in enumerate(tree) if each.item.own],
        "together": {i: len(each.item.paths) for i, each in enumerate(tree) if len(each.item.paths) > 1},
        "labels": {i: full_name(each.item) for i, each in enumerate(tree) if len(each.item.paths) > 1},
        "siblings": {i: each.item.siblings for i, each in enumerate(tree) if each.item.siblings > 1},
        "notes": {i: note(each.item.row).strip() for i, each in enumerate(tree) if note(each.item.row)},
        "biggest": [i for i, each in enumerate(tree) if biggest is not None and _is_own_row(each.item, biggest.path)],
        "marks": marks,
        "numbers": {c.name: [*map(_number, _values(c, rows))] for c in numeric}
        | {"traffic": [number(row.bytes_read + row.bytes_written) for row in rows]},
        "texts": {
            c.name: dictionary(_texts(c.look, _values(c, rows))) for c in columns if c not in numeric
        },
    }  # fmt: skip


def _values(column: Column, rows: Sequence[Module]) -> Iterator[Any]:
    """Yield a column's value in each row; faster than `column.of`, which also checks whether the row is a total."""
    return map(attrgetter(column.attribute or column.name), rows)


def _texts(look: Look, values: Iterable[Any]) -> Iterator[str]:
    """Yield values as displayed. Many rows have the same value, so each distinct one is formatted once."""
    text_of: dict[Any, str] = {}
    for value in values:
        if value not in text_of:
            text_of[value] = show(look, value)
        yield text_of[value]


def _number(value: Any) -> Json:
    return number(value) if isinstance(value, int) else plain(value)


def _is_own_row(item: Item, path: str) -> bool:
    """Return whether a row holds the ops that the module `path` runs itself: a leaf, or a parent's own share."""
    return path in item.paths and (item.own or not item.children)


def _widened_columns(columns: Sequence[Column]) -> list[Column]:
    """Return the stored columns that only the widened report fills; derived ones are properties computed from them."""
    row_fields = {*names(Module, "sum"), *names(Module, "any"), *names(Module, "no")}
    return [column for column in columns if column.group and (column.attribute or column.name) in row_fields]


def _row(item: Item, wide: Widened, extra: Sequence[Column]) -> Module:
    """Return an item's row with the optional columns: sums over its modules, or their common value."""
    if item.paths == ("",) and not item.own:
        return wide.modules[""]
    if not extra:
        return item.row
    sources = [_own(wide.layers.get(path, ())) if item.own else wide.modules[path] for path in item.paths]
    filled: dict[str, Any] = {}
    summed = names(Module, "sum")
    for column in extra:
        attribute = column.attribute or column.name
        values = [row.get(attribute) if isinstance(row, dict) else getattr(row, attribute) for row in sources]
        if attribute in summed:
            filled[attribute] = sum(values) if None not in values else None
        elif column.look == "along":
            filled[attribute] = several(values)
        elif column.look != "flag":  # `widened` sets no flags
            filled[attribute] = values[0] if all(value == values[0] for value in values) else None
    row: Module = changed(item.row, **filled)
    return row


def _own(layers: Sequence[Layer]) -> dict[str, Any]:
    """Return the statistics of a module's own ops, summed over its calls."""
    return total(layers, Layer) | windows_of(layers)


def folded_indices(tree: Sequence[TreeItem], folded: Sequence[TreeItem]) -> Iterator[int]:
    """Yield, for each row of the whole tree, the index of the folded tree's row that includes it."""
    place = {(path, each.item.own): i for i, each in enumerate(folded) for path in each.item.paths}
    for each in tree:
        yield place[each.item.paths[0], each.item.own]
