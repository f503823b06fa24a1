"""A document: the result of a command as frozen data, which every renderer can show; renderers compute nothing.

Cells hold values, never text that stands for a number: a count is an int, a shape a tuple, a share a Fraction. How a
kind of value is formatted is defined once, in `values.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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


class Note(NamedTuple):
    """A sentence or phrase, with its style in a terminal.

    Attributes:
        without: name of a column: the note is left out if a table above it shows this column.
        code: code at the end of the note, such as a command line.
        strong: how many of its first characters are emphasized.
    """

    text: str
    style: str = ""
    without: str = ""
    code: str = ""
    strong: int = 0


@dataclass(frozen=True)
class Notes:
    """Sentences above or below tables.

    Attributes:
        notes: the notes, in order; empty ones are left out.
        listed: whether markup shows them as a list; else as one paragraph.
        shown: which formats show them.
        apart: whether text has an empty line above them.
        first, hang: prefix of a note's first line and of its further lines in text.
        intro: a line above them.
    """

    notes: tuple[Note, ...]
    listed: bool = True
    shown: Shown = "people"
    apart: bool = True
    first: str = ""
    hang: str = "  "
    intro: Note | None = None

    @property
    def unconditional(self) -> list[Note]:
        """The notes that don't depend on which columns are shown, for formats that drop none."""
        return [note for note in self.notes if note.text and not note.without]

    @property
    def empty(self) -> bool:
        """Whether there is no text."""
        return self.intro is None and not any(note.text for note in self.notes)


@dataclass(frozen=True)
class Tiles:
    """The most important numbers, shown large at the top of an HTML page, as (name, kind, value)."""

    tiles: tuple[tuple[str, Kind, Cell], ...]
    shown: Shown = "markup"
    apart: bool = True


class Equation(NamedTuple):
    """The formula of the quantities `names`, as text and as LaTeX; the latter is empty if there is none."""

    names: tuple[str, ...]
    text: str
    latex: str = ""


@dataclass(frozen=True)
class Equations:
    """Formulas: lines in text, a table in markdown and HTML, an `align*` in LaTeX; JSON has them among the facts."""

    equations: tuple[Equation, ...]
    headings: tuple[str, str]
    shown: Shown = "people"
    apart: bool = True

    @property
    def table(self) -> Table:
        """Names and formulas."""
        columns = (Column("names", self.headings[0]), Column("text", self.headings[1]))
        return Table(columns, rows((", ".join(each.names), each.text) for each in self.equations))


@dataclass(frozen=True)
class Heading:
    """The heading of a section; level 1 is one below the title."""

    text: str
    level: int = 1
    shown: Shown = "people"
    apart: bool = True
    style: str = "heading"


@dataclass(frozen=True)
class Curve:
    """A quantity over time, drawn by a line of block characters in text; JSON has it among the facts.

    Attributes:
        values: the values, not negative.
        marks: index at which each named section of the curve begins, by name.
        most: maximum width in characters.
    """

    values: tuple[int, ...]
    marks: Mapping[str, int] = field(default_factory=dict)
    most: int = 100
    shown: Shown = "text"
    apart: bool = True


@dataclass(frozen=True)
class Picture:
    """A picture in a file of its own, with its path relative to the document, for markdown and HTML."""

    path: str
    title: str
    shown: Shown = "people"
    apart: bool = True


Part: TypeAlias = Table | Tiles | Equations | Notes | Heading | Curve | Picture


@dataclass(frozen=True)
class Document:
    """The result of a command.

    Attributes:
        command: the command's name.
        title: the title, such as the model's name.
        subtitle: a line below the title.
        topic: added to the title in markup, if the title alone does not say what is shown.
        headline: replaces the title in text; empty: no title, None: the title itself.
        facts: plain data that JSON has in addition to the tables.
        parts: tables, notes and headings, in order.
        level: level of the title in markdown.
        width, least: width of text in a file; minimum width in a terminal, even if that is narrower.
        page_data: data that the JavaScript of an HTML page draws in place of tables; None: no JavaScript.
    """

    command: str
    title: str = ""
    subtitle: str = ""
    topic: str = ""
    headline: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    level: int = 1
    width: int = 100
    least: int = 60
    page_data: Mapping[str, Any] | None = None

    def shown(self, where: frozenset[str]) -> list[Part]:
        """Return the non-empty parts that a group of formats shows."""
        return [part for part in self.parts if part.shown in where and not (isinstance(part, Notes) and part.empty)]

    def tables(self, where: frozenset[str]) -> list[Table]:
        """Return the tables that a group of formats shows."""
        return [part for part in self.parts if isinstance(part, Table) and part.shown in where]

    @property
    def full_title(self) -> str:
        """Title and topic, for markup."""
        return f"{self.title}: {self.topic}" if self.topic else self.title


def notes(*texts: str, style: str = "", **fields: Any) -> Notes:
    """Return notes of one style; further arguments are those of `Notes`."""
    return Notes(tuple(Note(text, style) for text in texts), **fields)


def rows(values: Any) -> tuple[Row, ...]:
    """Return a Row for each sequence of values."""
    return tuple(Row(tuple(each)) for each in values)


def data_table(names: Iterable[str], values: Any, name: str = "") -> Table:
    """Return a table that only CSV and JSON show; `name` is its key in JSON."""
    return Table(tuple(map(Column, names)), rows(values), name, shown="data")
