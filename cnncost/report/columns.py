"""The columns of a Report: one table shared by all renderers, so that all show the same columns.

A column has a name in files (CSV, JSON, pandas), a displayed heading, a meaning, the row attribute that it
reads, and the format of its values. Rows are Layers, Modules, Ops, and the Totals below them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from cnncost import units
from cnncost.errors import CnncostError
from cnncost.render.document import Cell
from cnncost.render.values import NUMBERS
from cnncost.report.data import ReportData
from cnncost.report.rows import Computed, Layer, Module, Op, Statistics, Totals
from cnncost.report.schema import Look, absent_columns, groups, has, origins, statistics, stored

By: TypeAlias = Literal["module", "layer", "op"]
Row: TypeAlias = "Layer | Module | Op | Totals"
T = TypeVar("T")

AT_LEAST = "≥"
AT_MOST = "≤"
NEITHER = "~"
"""Prefix of a number that is neither bound: it omits unknown ops but counts attention with an unknown mask in full, or
it is a ratio that involves a bound."""
UNKNOWN = "?"
"""Shown in place of a number that no rule counts."""


class Column(NamedTuple):
    """One column.

    Attributes:
        name: its name in CSV, JSON and pandas.
        heading: displayed above the column.
        meaning: one-sentence description.
        look: format of a value; columns of numbers are right-aligned.
        attribute: row attribute; by default `name`.
        summed: whether the total row has this column.
        bounded: whether an unknown op makes the number a lower bound.
        masked: whether an unknown mask makes the number an upper bound.
        loose: whether an unknown op or mask makes the number neither bound.
        group: group of an optional column, shown only on request.
    """

    name: str
    heading: str
    meaning: str
    look: Look
    attribute: str = ""
    summed: bool = False
    bounded: bool = False
    masked: bool = False
    group: str = ""
    loose: bool = False

    @property
    def partial(self) -> bool:
        """Whether the numbers of ops without a rule are missing from the column."""
        return self.bounded or self.loose

    @property
    def right(self) -> bool:
        """Whether the column is right-aligned."""
        return self.look in NUMBERS

    def of(self, row: Row) -> Any:
        """Return the row's value; None in the total row if the column isn't summed."""
        return None if isinstance(row, Totals) and not self.summed else getattr(row, self.attribute or self.name)

    def cell(self, row: Row) -> Cell:
        """Return the row's value with its prefix (≥, ≤, ~, ?); empty in the total row if the column isn't summed."""
        if isinstance(row, Totals) and not self.summed:
            return Cell(None)
        if self.partial and isinstance(row, Op) and not row.known:
            return Cell(None, UNKNOWN)
        value = self.of(row)
        lower, upper = self.partial and is_lower_bound(row), self.masked and getattr(row, "mask_unknown", False)
        if self.loose and (lower or upper):
            return Cell(None, UNKNOWN) if value is None else Cell(value, NEITHER)
        mark = MARKS[lower, upper]
        if value is None and self.look in {"ratio", "share"}:
            mark += units.NOTHING  # the divisor is 0
        return Cell(value, mark)


MARKS = {(False, False): "", (True, False): AT_LEAST, (False, True): AT_MOST, (True, True): NEITHER}
"""Prefix of a number, by (whether ops without a rule are missing, whether a mask is unknown)."""


def is_lower_bound(row: Row) -> bool:
    """Return whether ops without a rule are missing from the row's numbers."""
    if isinstance(row, Op):
        return not row.known
    return row.lower_bound if isinstance(row, Totals) else row.unknown


def _declared(row_class: type, *groups: str) -> tuple[Column, ...]:
    """Return the columns of the statistics that a row class declares in these groups; `""`: those always shown."""
    # the total row has derived numbers, too: they are computed from its sums
    return tuple([
        Column(
            name, about.heading, about.meaning, about.look, summed=about.sums == "sum" or bool(about.after),
            bounded=about.bounded, masked=about.masked, group=about.group, loose=about.loose,
        )
        for name, about in statistics(row_class).items()
        if about.group in groups
    ])  # fmt: skip


_PATH = Column("path", "path", "where the module is in the model; empty for the model itself", "text")
_CLASS = Column("class", "class", "class of the module", "text", "class_name")
_CALLS = Column("calls", "calls", "how often the module was called", "count")
_SHAPE = Column(
    "output_shape", "output", "shapes of the tensors that the call returned", "shapes", "output_shapes", summed=True
)
_INPUT = _declared(Statistics, "input")[0]._replace(name="input_shape", attribute="input_shapes", summed=True)
_BEFORE_OUTPUT = (*_declared(Statistics, "kernel", "stride"), _INPUT)
"""Optional columns, placed before the output's shape."""
_COMPUTED = tuple([c for c in _declared(Statistics, "") if stored(Statistics, c.name) in statistics(Computed)])
"""Columns of costs (`Computed`), and columns derived from them: the last columns before the status."""
_NOT_COMPUTED = tuple([column for column in _declared(Statistics, "") if column not in _COMPUTED])
"""The other columns that are always shown, such as parameters."""
ALWAYS = (*_NOT_COMPUTED, *_COMPUTED)
"""Numbers that every report has for its modules and for the whole model."""
_STATUS = Column(
    "status", "status",
    "called; data: called, its numbers depend on values; used: not called, but its parameters are read; unused; "
    "failed: forward failed in it; unreached: not called, because forward failed before",
    "text",
)  # fmt: skip
_UNKNOWN = Column("unknown", "unknown", "whether it ran an op without a rule: its numbers are lower bounds", "flag")
_BEFORE_STATUS = _declared(Statistics, *groups(Statistics).keys() - {column.group for column in _BEFORE_OUTPUT})
"""The other optional columns, placed before the status."""
FURTHER = (*_BEFORE_OUTPUT, *_BEFORE_STATUS)
"""Optional columns, shown if the report has them."""

LAYER: tuple[Column, ...] = (
    _PATH, _CLASS,
    Column("kind", "kind", "kind of the most expensive op", "text"),
    Column("call", "call", "which call of the module this is, from 1", "count"),
    _CALLS, _SHAPE, *_NOT_COMPUTED, *_COMPUTED, _STATUS, _UNKNOWN,
)  # fmt: skip
"""One row per module call, with the ops it ran itself."""
MODULE: tuple[Column, ...] = (
    _PATH, _CLASS,
    Column("depth", "depth", "number of modules above it", "count"),
    _CALLS, _SHAPE, *_NOT_COMPUTED, *_COMPUTED, _STATUS, _UNKNOWN,
)  # fmt: skip
"""One row per module, including its descendants."""
OP: tuple[Column, ...] = (
    Column("op", "op", "name of the op", "text", "name"),
    Column("kind", "kind", "the rule that counts it", "text"),
    Column("count", "count", "how often it ran", "count"),
    *_declared(Computed, ""),
    Column("known", "known", "whether it has a rule", "flag"),
)
"""One row per op, summed over all calls."""


def with_own_figures(command: str, columns: Mapping[str, T], own: Mapping[str, T]) -> dict[str, T]:
    """Merge the report's columns that a command offers with the command's own figures, by name.

    Raises:
        TypeError: a column and one of the command's figures are different numbers with the same name.
    """
    if shared := columns.keys() & own.keys():
        raise TypeError(
            f"{', '.join(sorted(shared))}: {command} has another figure with this name; rename the statistic"
        )
    return {**columns, **own}


def table(report: ReportData, by: By) -> tuple[tuple[Column, ...], tuple[Row, ...]]:
    """Return the columns and rows of a view of the report.

    Raises:
        CnncostError: there is no such view.
    """
    if by == "layer":
        return _with_further(report, LAYER), report.layers
    if by == "module":
        return _with_further(report, MODULE), report.modules
    if by == "op":
        return OP, report.ops
    raise CnncostError(f"by={by!r}: expected module, layer or op")


def _with_further(report: ReportData, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Insert the requested optional columns: kernel, stride, input before the output; others before the status.

    Leave out columns that a saved report lacks.
    """
    requested_groups = {group for group in groups(Statistics) if has(report.totals, group)} | (
        {"rf"} if report.fields else set()
    )
    requested_groups |= {*report.further}  # these are names of groups, too, except `trainable`
    for optional, following in ((_BEFORE_OUTPUT, _SHAPE), (_BEFORE_STATUS, _STATUS)):
        i = columns.index(following)
        columns = (*columns[:i], *[column for column in optional if column.group in requested_groups], *columns[i:])
    absent = absent_columns(report.totals)
    return tuple([column for column in columns if column.name not in absent]) if absent else columns


_HIDDEN = frozenset({"path", "op", "depth", "call", "calls", "status", "unknown", "known", "mask_unknown"})
"""Columns hidden in tables for people: the row's name, the note after it, or a number's prefix says the same."""


def for_people(report: ReportData, by: By) -> tuple[Column, ...]:
    """Return the columns shown to people after the row's name, without columns that would be empty for this model."""
    columns, _ = table(report, by)
    hidden = set(_HIDDEN)
    if not report.totals.frozen_params:
        hidden |= {"frozen_params"} if "trainable" in report.further else {"trainable_params", "frozen_params"}
    if not report.totals.buffers:
        hidden.add("buffers")
    return without(columns, hidden)


def without(columns: Iterable[Column], hidden: Iterable[str]) -> tuple[Column, ...]:
    """Return the columns that are neither hidden nor derived from a hidden one."""
    names = frozenset(hidden)
    return tuple([column for column in columns if names.isdisjoint(origins(Statistics, column.name))])


def share_cell(row: Row, report: ReportData) -> Cell:
    """Return the row's share of the model's MACs, as a Fraction."""
    if isinstance(row, Op) and not row.known:
        return Cell(None, UNKNOWN)
    whole = report.totals.macs
    return Cell(Fraction(row.macs, whole) if whole else None, "" if whole else units.NOTHING)
