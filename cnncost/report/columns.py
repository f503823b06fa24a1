"""The columns of a Report: one table for all renderers, so that none shows what another lacks.

A column knows its name in files (CSV, JSON, pandas), its heading for people, what it means, where it
stands in a row, and how its values look. Rows are Layers, Modules, Ops, and the Totals under them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

from cnncost import units
from cnncost.errors import CnncostError
from cnncost.report.data import ReportData
from cnncost.report.rows import Along, Computed, Layer, Module, Op, Statistics, Totals
from cnncost.report.schema import Look, groups, has, statistics

By: TypeAlias = Literal["module", "layer", "op"]
Row: TypeAlias = "Layer | Module | Op | Totals"

AT_LEAST = "≥"
AT_MOST = "≤"
NEITHER = "~"
"""Before a number that lacks ops without a rule, and has attention in full whose mask is not known."""
UNKNOWN = "?"


class Column(NamedTuple):
    """One column.

    Attributes:
        name: in CSV, JSON and pandas.
        heading: over the column, for people.
        meaning: in a sentence.
        look: how a value is written; counts and bytes are numbers and stand to the right.
        attribute: of a row, if it is not `name`.
        summed: whether the total has one, too.
        bounded: whether an unknown op makes the number a lower bound.
        masked: whether an unknown mask makes it an upper bound.
        group: of a number that is shown where it was asked for, with what it was asked for.
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

    @property
    def right(self) -> bool:
        """Whether it is aligned to the right."""
        return self.look in _NUMBERS

    def of(self, row: Row) -> Any:
        """The row's value, as it is; None of the total of what is no sum."""
        return None if isinstance(row, Totals) and not self.summed else getattr(row, self.attribute or self.name)

    def show(self, row: Row, number: Callable[[int], str] = units.exact) -> str:
        """The row's value as text; `number` writes counts. Totals have none but sums."""
        if isinstance(row, Totals) and not self.summed:
            return ""
        value = self.of(row)
        if self.bounded and isinstance(row, Op) and not row.known:
            return UNKNOWN
        mark = MARKS[self.bounded and is_lower_bound(row), self.masked and getattr(row, "mask_unknown", False)]
        return mark + _LOOKS[self.look](value, number)


_NUMBERS = frozenset({"count", "bytes", "ratio", "along"})


MARKS = {(False, False): "", (True, False): AT_LEAST, (False, True): AT_MOST, (True, True): NEITHER}
"""By whether ops without a rule are missing, and whether a mask is not known."""


def _shapes(shapes: tuple[tuple[int, ...], ...]) -> str:
    """The first shape, and how many more there are."""
    if not shapes:
        return ""
    return units.shape(shapes[0]) + (f" +{len(shapes) - 1}" if len(shapes) > 1 else "")


def along(values: Along | None) -> str:
    """A value for each axis; one if they are equal."""
    if not values:
        return ""
    return str(values[0]) if len(set(values)) == 1 else "×".join(map(str, values))


_LOOKS: dict[Look, Callable[[Any, Callable[[int], str]], str]] = {
    "text": lambda value, _: str(value),
    "flag": lambda value, _: "yes" if value else "no",
    "shapes": lambda value, _: _shapes(value),
    "count": lambda value, number: number(value),
    "bytes": lambda value, _: units.data(value),
    "ratio": lambda value, _: units.NOTHING if value is None else units.ratio(value),
    "along": lambda value, _: along(value),
}


def is_lower_bound(row: Row) -> bool:
    """Whether ops without a rule are missing from the row's numbers."""
    if isinstance(row, Op):
        return not row.known
    return row.lower_bound if isinstance(row, Totals) else row.unknown


def _declared(kind: type, *groups: str) -> tuple[Column, ...]:
    """The columns of the statistics that a class of rows declares; those of groups are others."""
    return tuple([
        Column(
            name, about.heading, about.meaning, about.look, "", about.sums == "sum" or bool(about.after), about.bounded,
            about.masked, about.group,
        )
        for name, about in statistics(kind).items()
        if about.group in groups
    ])  # fmt: skip


_PATH = Column("path", "path", "where the module is in the model; empty for the model itself", "text")
_CLASS = Column("class", "class", "class of the module", "text", "class_name")
_CALLS = Column("calls", "calls", "how often the module was called", "count")
_SHAPE = Column("output_shape", "output", "shapes of the tensors that the call returned", "shapes", "output_shapes")
_COMPUTED = _declared(Computed, "")
_HELD = tuple([column for column in _declared(Statistics, "") if column not in _COMPUTED])
_STATUS = Column(
    "status", "status",
    "called; data: called, its numbers follow from values; used: not called, but its parameters are read; unused; "
    "failed: forward failed in it; unreached: not called, as forward failed before",
    "text",
)  # fmt: skip
_UNKNOWN = Column("unknown", "unknown", "whether it ran an op without a rule: its numbers are lower bounds", "flag")
FURTHER = _declared(Statistics, *groups(Statistics))
"""Shown when a report has them."""

LAYER: tuple[Column, ...] = (
    _PATH, _CLASS,
    Column("kind", "kind", "kind of the op that weighs most", "text"),
    Column("call", "call", "which call of the module this is, from 1", "count"),
    _CALLS, _SHAPE, *_HELD, *_COMPUTED, _STATUS, _UNKNOWN,
)  # fmt: skip
"""A row a module call, with what it ran itself."""
MODULE: tuple[Column, ...] = (
    _PATH, _CLASS,
    Column("depth", "depth", "how many modules are above it", "count"),
    _CALLS, _SHAPE, *_HELD, *_COMPUTED, _STATUS, _UNKNOWN,
)  # fmt: skip
"""A row a module, with all below it."""
OP: tuple[Column, ...] = (
    Column("op", "op", "name of the op", "text", "name"),
    Column("kind", "kind", "the rule that counts it", "text"),
    Column("count", "count", "how often it ran", "count"),
    *_COMPUTED,
    Column("known", "known", "whether it has a rule", "flag"),
)
"""A row an op, over all places where it ran."""


def table(report: ReportData, by: By) -> tuple[tuple[Column, ...], tuple[Row, ...]]:
    """The columns and rows of a view of the report.

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
    """With the groups that the report was asked for before what is said of the row."""
    place = columns.index(_STATUS)
    asked = {group for group in groups(Statistics) if has(report.totals, group)} | ({"rf"} if report.fields else set())
    return (*columns[:place], *[column for column in FURTHER if column.group in asked], *columns[place:])


_TOLD = frozenset({"path", "op", "depth", "call", "calls", "status", "unknown", "known", "mask_unknown"})
"""Columns that tables for people do without: the name has them, or a note beside it, or a sign before the number."""


def for_people(report: ReportData, by: By) -> tuple[Column, ...]:
    """The columns of a view after the row's name, less those that say nothing of this model."""
    columns, _ = table(report, by)
    hidden = set(_TOLD)
    if not report.totals.frozen_params:
        hidden |= {"trainable_params", "frozen_params"}
    if not report.totals.buffers:
        hidden.add("buffers")
    return tuple(column for column in columns if column.name not in hidden)


def share_of_macs(row: Row, report: ReportData) -> str:
    """The row's part of all MACs, in per cent."""
    if isinstance(row, Op) and not row.known:
        return UNKNOWN
    return units.share(row.macs, report.totals.macs)
