"""The columns of a Report: one table for all renderers, so that none shows what another lacks.

A column knows its name in files (CSV, JSON, pandas), its heading for people, what it means, where it
stands in a row, and how its values look. Rows are Layers, Modules, Ops, and the Totals under them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

from cnncost import units
from cnncost.errors import CnncostError
from cnncost.report.model import Report
from cnncost.report.rows import Along, Layer, Module, Op, Totals

By: TypeAlias = Literal["module", "layer", "op"]
Row: TypeAlias = "Layer | Module | Op | Totals"
Look: TypeAlias = Literal["text", "flag", "shapes", "count", "bytes", "along"]

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
        summed: whether the rows add up to the total's attribute of this name.
        bounded: whether an unknown op makes the number a lower bound.
        masked: whether an unknown mask makes it an upper bound.
    """

    name: str
    heading: str
    meaning: str
    look: Look
    attribute: str = ""
    summed: bool = False
    bounded: bool = False
    masked: bool = False

    @property
    def right(self) -> bool:
        """Whether it is aligned to the right."""
        return self.look in {"count", "bytes", "along"}

    def of(self, row: Row) -> Any:
        """The row's value, as it is; totals have no receptive field."""
        if isinstance(row, Totals) and self.look == "along":
            return None
        return getattr(row, self.attribute or self.name)

    def show(self, row: Row, number: Callable[[int], str] = units.exact) -> str:
        """The row's value as text; `number` writes counts. Totals have none but sums."""
        if isinstance(row, Totals) and not self.summed:
            return ""
        value = self.of(row)
        if self.bounded and isinstance(row, Op) and not row.known:
            return UNKNOWN
        mark = MARKS[self.bounded and is_lower_bound(row), self.masked and getattr(row, "mask_unknown", False)]
        return mark + _LOOKS[self.look](value, number)


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
    "along": lambda value, _: along(value),
}


def is_lower_bound(row: Row) -> bool:
    """Whether ops without a rule are missing from the row's numbers."""
    if isinstance(row, Op):
        return not row.known
    return row.lower_bound if isinstance(row, Totals) else row.unknown


_PATH = Column("path", "path", "where the module is in the model; empty for the model itself", "text")
_CLASS = Column("class", "class", "class of the module", "text", "class_name")
_CALLS = Column("calls", "calls", "how often the module was called", "count")
_SHAPE = Column("output_shape", "output", "shapes of the tensors that the call returned", "shapes", "output_shapes")
_HELD = (
    Column("params", "params", "parameters, each counted once", "count", summed=True),
    Column("trainable_params", "trainable", "parameters that training changes", "count", summed=True),
    Column("frozen_params", "frozen", "parameters that training leaves as they are", "count", summed=True),
    Column("buffers", "buffers", "elements of buffers, such as running means", "count", summed=True),
)
_COMPUTED = (
    Column("macs", "MACs", "multiply-accumulates", "count", summed=True, bounded=True),
    Column(
        "flops", "FLOPs", "floating-point operations; a multiply-accumulate is two", "count", summed=True, bounded=True
    ),
    Column(
        "bytes_read", "read", "bytes, if each op reads its inputs once", "bytes", summed=True, bounded=True
    ),
    Column(
        "bytes_written", "written", "bytes, if each op writes its outputs once", "bytes", summed=True, bounded=True
    ),
)  # fmt: skip
_STATUS = Column(
    "status", "status",
    "called; data: called, its numbers follow from values; used: not called, but its parameters are read; unused; "
    "failed: forward failed in it; unreached: not called, as forward failed before",
    "text",
)  # fmt: skip
_UNKNOWN = Column("unknown", "unknown", "whether it ran an op without a rule: its numbers are lower bounds", "flag")
FIELD = (
    Column("receptive_field", "field", "input positions that a unit sees along each axis, borders aside", "along"),
    Column("jump", "jump", "input positions from one unit to the next", "along"),
    Column("start", "start", "first input position that unit 0 sees; negative in the padding", "along"),
)
"""Shown when a report has them."""
MEMORY = (
    Column("allocated", "allocated", "bytes that its ops allocate in forward", "bytes", summed=True),
    Column("saved", "saved", "bytes of it that outlive forward: kept for backward, or returned", "bytes", summed=True),
)
"""Likewise."""
MASKED = (
    Column(
        "macs_unmasked", "unmasked", "MACs if attention skips what its masks leave out", "count", summed=True,
        bounded=True, masked=True,
    ),
    Column("mask_unknown", "mask", "whether a mask is not known: macs_unmasked is an upper bound", "flag"),
)  # fmt: skip
"""Likewise."""

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


def table(report: Report, by: By) -> tuple[tuple[Column, ...], tuple[Row, ...]]:
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


def _with_further(report: Report, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """With receptive fields, memory and masked counts before what is said of the row, if the report has them."""
    place = columns.index(_STATUS)
    further = (FIELD if report.fields else ()) + (MEMORY if report.totals.allocated is not None else ())
    further += MASKED if report.totals.macs_unmasked is not None else ()
    return (*columns[:place], *further, *columns[place:])


_TOLD = frozenset({"path", "op", "depth", "call", "calls", "status", "unknown", "known", "mask_unknown"})
"""Columns that tables for people do without: the name has them, or a note beside it, or a sign before the number."""


def for_people(report: Report, by: By) -> tuple[Column, ...]:
    """The columns of a view after the row's name, less those that say nothing of this model."""
    columns, _ = table(report, by)
    hidden = set(_TOLD)
    if not report.totals.frozen_params:
        hidden |= {"trainable_params", "frozen_params"}
    if not report.totals.buffers:
        hidden.add("buffers")
    return tuple(column for column in columns if column.name not in hidden)


def share_of_macs(row: Row, report: Report) -> str:
    """The row's part of all MACs, in per cent."""
    if isinstance(row, Op) and not row.known:
        return UNKNOWN
    return units.share(row.macs, report.totals.macs)
