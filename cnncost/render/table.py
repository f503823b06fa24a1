"""A table of a document: columns, rows and cells, and how it fits a narrow terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from cnncost.render.values import NUMBERS, Kind, show

Shown: TypeAlias = Literal["all", "people", "text", "markup", "data"]
"""Which formats show a part: all; those for people; only text; only markup such as HTML; only CSV and JSON."""
Role: TypeAlias = Literal["row", "rest", "total"]
"""What a row is: a result; the sum of results that are not listed; the total. CSV and JSON contain only results."""
MARKUP, TEXT, DATA = (frozenset({"all", *more}) for more in (("people", "markup"), ("people", "text"), ("data",)))
"""Groups of formats, each given by the values of `Shown` that mark what it shows."""


class Bar(NamedTuple):
    """Bars next to the numbers of a column, the longest for the largest; in text, and in trees in HTML.

    Attributes:
        least, most: minimum and maximum length of the longest bar, in characters; it takes the remaining width.
        short: a shorter heading for the column, for bars that are too narrow for its usual one.
    """

    least: int
    most: int
    short: str


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: name in CSV and JSON.
        heading: heading for people.
        kind: kind of its values, which determines format and alignment.
        shown: which formats show it.
        empty: shown in place of None, and of an empty text, path or shape.
        least: minimum width to which text may be shortened (of a bar: its width); None: never shortened.
        wrap: whether text that is too wide is wrapped instead of shortened.
        gap: number of spaces before it in text.
        style: style of its cells in a terminal.
        meaning: a sentence that explains the column.
        once: whether text leaves out a value that equals the one in the row above.
        bar: bars to draw next to its numbers.
    """

    name: str
    heading: str = ""
    kind: Kind = "text"
    shown: Shown = "all"
    empty: str = ""
    least: int | None = None
    wrap: bool = False
    gap: int = 2
    style: str = ""
    meaning: str = ""
    once: bool = False
    bar: Bar | None = None

    @property
    def right(self) -> bool:
        """Whether the column is right-aligned."""
        return self.kind in NUMBERS

    def text(self, cell: Cell, compact: bool = False) -> str:
        """Return a cell's value and mark as text for people; `compact` shortens counts."""
        return cell.mark + show(self.kind, cell.value, self.empty, compact)


class Cell(NamedTuple):
    """A value, with a mark before it (such as `≥`) and text after it for people, a style, and a tooltip for HTML."""

    value: Any
    mark: str = ""
    tail: str = ""
    style: str = ""
    title: str = ""

    @property
    def strong(self) -> bool:
        """Whether formats with markup set it in bold."""
        return self.style in STRONG


class Row(NamedTuple):
    """A row: a value or Cell for each column. `level`: level in a tree, from 0; `below`: a remark below it in text."""

    cells: tuple[Any, ...]
    role: Role = "row"
    style: str = ""
    level: int | None = None
    below: str = ""

    def cell(self, index: int) -> Cell:
        """Return the value at an index as a Cell."""
        value = self.cells[index]
        return value if isinstance(value, Cell) else Cell(value)

    @property
    def strong(self) -> bool:
        """Whether formats with markup set it in bold."""
        return self.role == "total" or self.style in STRONG


STRONG = frozenset({"biggest", "front", "strong", "over"})
"""Styles that formats with markup set in bold; the others are colours of a terminal."""


class Narrowing(NamedTuple):
    """A step that narrows a table: columns to drop, short counts, minimum widths by column, spaces between columns."""

    drop: tuple[str, ...] = ()
    compact: bool = False
    least: tuple[tuple[str, int], ...] = ()
    gap: int | None = None


COMPACT = Narrowing(compact=True)


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        columns: the columns, in order.
        rows: the rows, with a value for each column.
        name: key in JSON; empty: JSON has the numbers among the facts instead.
        caption: a line above the table.
        narrowing: steps that fit the table into a terminal, taken one after the other until it fits.
        optional: columns that text shows only if there is room, most important first.
        shown: which formats show it.
        apart: whether text has an empty line above it.
        open: how many levels of a tree are initially open in HTML.

    Raises:
        ValueError: a row has more or fewer values than columns, or a step names an unknown column.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    name: str = ""
    caption: str = ""
    narrowing: tuple[Narrowing, ...] = ()
    optional: tuple[str, ...] = ()
    shown: Shown = "all"
    apart: bool = True
    open: int = 1

    def __post_init__(self) -> None:
        for i, row in enumerate(self.rows):
            if len(row.cells) != len(self.columns):
                raise ValueError(f"row {i} has {len(row.cells)} values, expected {len(self.columns)}, one per column")
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError(f"columns {', '.join(names)}: a name occurs twice")
        for name in (*self.optional, *(each for step in self.narrowing for each in (*step.drop, *dict(step.least)))):
            if name not in names:
                raise ValueError(f"no column {name!r}; there are {', '.join(names)}")

    def shown_in(self, where: frozenset[str]) -> list[tuple[int, Column]]:
        """Return (index, column) for the columns that a group of formats (`MARKUP`, `TEXT` or `DATA`) shows."""
        return [(i, column) for i, column in enumerate(self.columns) if column.shown in where]

    def signs(self, where: frozenset[str], dropped: Iterable[str] = ()) -> set[str]:
        """Return the signs in marks of the cells that a group of formats shows, but for the columns that it drops."""
        hidden = set(dropped)
        shown = [i for i, column in self.shown_in(where) if column.name not in hidden]
        cells = (row.cells[i] for row in self.rows for i in shown)
        return {sign for cell in cells if isinstance(cell, Cell) for sign in cell.mark}
