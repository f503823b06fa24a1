"""Sorts a report's layers or ops by a column, largest first; optionally returns only the first few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from cnncost import units
from cnncost.errors import CnncostError
from cnncost.near import suggestion
from cnncost.report.columns import ALWAYS, FURTHER, LAYER, OP, By, Column, Row, is_lower_bound, table
from cnncost.report.data import ReportData
from cnncost.report.rows import Op, Totals
from cnncost.report.schema import SIZES, absent_columns, total

_ALIASES = {"share": "macs"}
"""Names to sort by that are not sortable columns themselves, each with a column that gives the same order."""
_ORDINALS = frozenset({"call", "depth"})
"""Columns whose numbers are positions, not sizes; rows can't be sorted by them."""


class Ranking(NamedTuple):
    """The user's request: which column to sort rows by, and how many to show.

    Attributes:
        sort: name or heading of the column; None: MACs, or FLOPs if there are no MACs.
        top: number of rows shown; None: all.
    """

    sort: str | None = None
    top: int | None = None


def ranking(sort: str | None, top: int | None) -> Ranking | None:
    """Return the user's Ranking; None if both arguments are None.

    Raises:
        CnncostError: `top` is not an int above 0, or `sort` is not a str.
    """
    if sort is None and top is None:
        return None
    if top is not None and (type(top) is not int or top < 1):
        raise CnncostError(f"top={top!r}: expected a number of rows of at least 1")
    if sort is not None and not isinstance(sort, str):
        raise CnncostError(f"sort={sort!r}: expected the name of a column, such as 'macs'")
    return Ranking(sort, top)


class Ranked(NamedTuple):
    """A view's rows in sorted order.

    Attributes:
        order: indices of the shown rows, largest first.
        rest: the sum of the omitted rows; None if all are shown.
        omitted: number of omitted rows.
        column: the column by which the rows are sorted.
    """

    order: tuple[int, ...]
    rest: Totals | None
    omitted: int
    column: Column

    @property
    def legend(self) -> list[str]:
        """Lines that say how the rows are sorted; currently one."""
        more = f"; {self.name}: the sum of the others" if self.omitted else ""
        return [f"sorted by {self.column.heading}, largest first{more}"]

    @property
    def name(self) -> str:
        """Name of the row that sums the omitted rows."""
        return f"{units.exact(self.omitted)} more"


def check(requested: Ranking, by: By) -> None:
    """Check that the view can have the column to sort by; called before any model is analyzed.

    Raises:
        CnncostError: there is no such column, or rows can't be sorted by it.
    """
    if requested.sort is not None:
        columns = OP if by == "op" else LAYER
        normalized = _normalized(requested.sort)
        # optional columns can only be checked against a report, in `_column`
        if by == "op" or not any(normalized in _names(each) for each in FURTHER):
            _sortable_named(normalized, requested.sort, columns)


def sorted_by(report: ReportData, by: By, requested: Ranking | None) -> str:
    """Return the name of the column that the user asked to sort by; empty if there was no such request."""
    if requested is None or not requested.sort:
        return ""
    return _column(report, table(report, by)[0], requested.sort).name


def ranked(report: ReportData, by: By, requested: Ranking) -> Ranked:
    """Sort a view's rows. Ties are broken by MACs, then FLOPs, then the original order.

    Raises:
        CnncostError: `by` is unknown or "module" (a tree has its own order), there is no such column, or rows can't be
            sorted by it.
    """
    if by == "module":
        raise CnncostError(
            "sort and top are for layers or ops: modules contain each other, and their rows don't add up"
        )
    columns, rows = table(report, by)
    column = _column(report, columns, requested.sort)

    def size(index: int) -> tuple[Any, ...]:
        row: Any = rows[index]
        value = None if isinstance(row, Op) and not row.known and column.partial else column.of(row)
        return (-1 if value is None else value, row.macs, row.flops)

    order = sorted(range(len(rows)), key=size, reverse=True)  # stable: equal rows stay in their original order
    shown = tuple(order[: requested.top])
    omitted = [rows[index] for index in order[len(shown) :]]
    return Ranked(shown, _summed(omitted) if omitted else None, len(omitted), column)


def _column(report: ReportData, columns: Sequence[Column], sort: str | None) -> Column:
    if sort is None:
        return _sortable_columns(columns)["macs" if report.totals.macs else "flops"]
    normalized = _normalized(sort)
    further = next((each for each in FURTHER if normalized in _names(each)), None)
    if further is not None and further.look in SIZES and further not in columns:
        raise CnncostError(f"sort: {sort} is a column of +{further.group}, which was not requested; request it as well")
    if any(normalized in _names(each) for each in ALWAYS if each.name in absent_columns(report.totals)):
        raise CnncostError(f"sort: {report.model} was saved before cnncost had {sort}; analyze the model again")
    return _sortable_named(normalized, sort, columns)


def _sortable_columns(columns: Sequence[Column]) -> dict[str, Column]:
    return {each.name: each for each in columns if each.look in SIZES and each.name not in _ORDINALS}


def _sortable_named(normalized: str, sort: str, columns: Sequence[Column]) -> Column:
    """Return the column with this name or heading.

    Raises:
        CnncostError: there is none, or rows can't be sorted by it.
    """
    sizes = _sortable_columns(columns)
    for each in sizes.values():
        if normalized in _names(each):
            return each
    if any(normalized in _names(each) for each in (*columns, *FURTHER)):
        raise CnncostError(f"sort: {sort} has no sizes to sort by; expected one of {', '.join(sizes)}")
    hint = suggestion(normalized, tuple(sizes)) or f"; expected one of {', '.join(sizes)}"
    raise CnncostError(f"sort: no column named {sort!r}{hint}")


def _normalized(sort: str) -> str:
    name = sort.strip().lower()
    return _ALIASES.get(name, name)


def _names(column: Column) -> set[str]:
    return {column.name, column.heading.lower()}


def _summed(rows: Sequence[Row]) -> Totals:
    """Return the sum of rows."""
    bounded = any(map(is_lower_bound, rows))
    return Totals(**total(rows, Totals), param_bytes=0, buffer_bytes=0, ops=0, lower_bound=bounded)
