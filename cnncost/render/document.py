"""A document: what a command has found, as frozen data. Every renderer takes it, and computes nothing.

Cells hold values, never text that stands for a number: a count is an int, a shape a tuple, a share a Fraction. How a
kind of value looks is said once, in `values.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from cnncost.render.values import NUMBERS, Kind, show

Shown: TypeAlias = Literal["all", "people", "text", "markup", "data"]
"""Which formats show it: all; those for people; only text; only those with markup, such as HTML; only CSV and JSON."""
Role: TypeAlias = Literal["row", "rest", "total"]
"""What a row is: a result; the sum of the results that are not listed; the total. CSV and JSON have only results."""
MARKUP, TEXT, DATA = (frozenset({"all", *more}) for more in (("people", "markup"), ("people", "text"), ("data",)))


class Bar(NamedTuple):
    """Bars beside the numbers of a column, the longest for the largest; in text, and in the trees of HTML.

    Attributes:
        least, most: the width of the longest in characters: what is left of the terminal, within these.
        short: the column's heading where it is shorter than all of the column's own behind the first word.
    """

    least: int
    most: int
    short: str


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: in CSV and JSON.
        heading: above it for people.
        kind: what its values are, and so how they look and whether they are right-aligned.
        shown: where it is.
        empty: what stands for None, and for an empty text, path or shape.
        least: the width down to which text may be shortened, None: not at all; of a bar, its width.
        wrap: whether text that is too wide goes on in further lines, and is not shortened.
        gap: spaces before it in text.
        style: of its cells in a terminal.
        meaning: a sentence that says more than the heading.
        once: whether text shows a value only in the first of the rows in a row that have it.
        bar: bars beside its numbers.
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
        """Whether it is right-aligned."""
        return self.kind in NUMBERS

    def text(self, cell: Cell, compact: bool = False) -> str:
        """A cell's value for people, with the sign before it; `compact` shortens counts."""
        return cell.mark + show(self.kind, cell.value, self.empty, compact)


class Cell(NamedTuple):
    """A value, the mark before it (`≥` of a lower bound) and text after it for people; its style; a tooltip in HTML."""

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
    """A row: values or Cells, one for each column; in a tree its level from 0; in text a remark `below` it."""

    cells: tuple[Any, ...]
    role: Role = "row"
    style: str = ""
    level: int | None = None
    below: str = ""

    def cell(self, index: int) -> Cell:
        """A cell, whichever way it was given."""
        value = self.cells[index]
        return value if isinstance(value, Cell) else Cell(value)

    @property
    def strong(self) -> bool:
        """Whether formats with markup set it in bold."""
        return self.role == "total" or self.style in STRONG


STRONG = frozenset({"biggest", "front", "strong", "over"})
"""Styles that formats with markup set in bold; the others are colours of a terminal."""


class Narrower(NamedTuple):
    """A step that makes a table narrower: columns that go, short counts, widths, the most between columns."""

    drop: tuple[str, ...] = ()
    compact: bool = False
    least: tuple[tuple[str, int], ...] = ()
    gap: int | None = None


COMPACT = Narrower(compact=True)


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        columns: in their order.
        rows: a value for each column.
        name: its key in JSON; empty: JSON has its numbers among the facts.
        caption: a line above it.
        narrower: steps to fit it into the width of a terminal, taken one after the other until it fits.
        optional: columns that are in text where there is room, the most wanted first.
        shown: where it is.
        apart: whether an empty line is above it in text.
        open: how many levels of a tree HTML shows at first.

    Raises:
        ValueError: a row with more or fewer values than columns; a step for a column that is not there.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    name: str = ""
    caption: str = ""
    narrower: tuple[Narrower, ...] = ()
    optional: tuple[str, ...] = ()
    shown: Shown = "all"
    apart: bool = True
    open: int = 1

    def __post_init__(self) -> None:
        for i, row in enumerate(self.rows):
            if len(row.cells) != len(self.columns):
                raise ValueError(f"row {i} has {len(row.cells)} values, expected {len(self.columns)}, one a column")
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError(f"columns {', '.join(names)}: a name stands twice")
        for name in (*self.optional, *(each for step in self.narrower for each in (*step.drop, *dict(step.least)))):
            if name not in names:
                raise ValueError(f"no column {name!r}; there are {', '.join(names)}")

    def shown_in(self, where: frozenset[str]) -> list[tuple[int, Column]]:
        """The columns that are shown there, each with its index."""
        return [(i, column) for i, column in enumerate(self.columns) if column.shown in where]


class Note(NamedTuple):
    """A sentence or phrase, with its style in a terminal.

    Attributes:
        without: a column; where a table above shows it, the note is left out.
        code: code that ends the note, such as a command line.
        strong: so many of its first characters stand out.
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
        notes: in their order; empty ones are left out.
        listed: whether they are items of a list in formats with markup; else they are one paragraph.
        shown: where they are.
        apart: whether an empty line is above them in text.
        first, hang: what further and first lines begin with in text.
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
    def told(self) -> list[Note]:
        """The notes where all columns are shown."""
        return [note for note in self.notes if note.text and not note.without]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to say."""
        return self.intro is None and not any(note.text for note in self.notes)


@dataclass(frozen=True)
class Tiles:
    """The most important numbers, large and above all else on a page of HTML: names, kinds and values."""

    tiles: tuple[tuple[str, Kind, Cell], ...]
    shown: Shown = "markup"
    apart: bool = True


class Equation(NamedTuple):
    """A formula of what has these names: as text, and in LaTeX, which is empty where there is none."""

    names: tuple[str, ...]
    text: str
    latex: str = ""


@dataclass(frozen=True)
class Equations:
    """Formulas: lines of text, a table in markdown and HTML, an `align*` in LaTeX; JSON has them among the facts."""

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
    """The heading of a section, with its level below the title's."""

    text: str
    level: int = 1
    shown: Shown = "people"
    apart: bool = True
    style: str = "heading"


@dataclass(frozen=True)
class Curve:
    """A quantity over time, drawn by a line of block characters in text; JSON has it among the facts.

    Attributes:
        values: not negative.
        marks: names of stretches, and the index where each begins.
        most: no wider than this.
    """

    values: tuple[int, ...]
    marks: Mapping[str, int] = field(default_factory=dict)
    most: int = 100
    shown: Shown = "text"
    apart: bool = True


@dataclass(frozen=True)
class Picture:
    """A picture that lies beside the document, for markdown and HTML."""

    path: str
    title: str
    shown: Shown = "people"
    apart: bool = True


Part: TypeAlias = Table | Tiles | Equations | Notes | Heading | Curve | Picture


@dataclass(frozen=True)
class Document:
    """What a command has found.

    Attributes:
        command: its name.
        title: what it is about.
        subtitle: follows the title.
        topic: added to the title in formats with markup, where the title alone does not say what is shown.
        headline: what stands in place of the title in text; empty: nothing, None: the title.
        facts: what JSON says beside the tables: plain data.
        parts: tables, notes and headings, in their order.
        level: of the title in markdown.
        width, least: of text in a file, and in a terminal, however narrow it is.
        program: plain data that the program in a page of HTML draws in place of the tables; None: there is none.
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
    program: Mapping[str, Any] | None = None

    def shown(self, where: frozenset[str]) -> list[Part]:
        """The parts that are shown there and are not empty."""
        return [part for part in self.parts if part.shown in where and not (isinstance(part, Notes) and part.empty)]

    def tables(self, where: frozenset[str]) -> list[Table]:
        """The tables that are shown there."""
        return [part for part in self.parts if isinstance(part, Table) and part.shown in where]

    @property
    def full_title(self) -> str:
        """Title and topic."""
        return f"{self.title}: {self.topic}" if self.topic else self.title


def notes(*texts: str, style: str = "", **how: Any) -> Notes:
    """Notes of one style; further arguments are those of `Notes`."""
    return Notes(tuple(Note(text, style) for text in texts), **how)


def rows(values: Any) -> tuple[Row, ...]:
    """Plain rows of values."""
    return tuple(Row(tuple(each)) for each in values)


def data_table(names: Iterable[str], values: Any, name: str = "") -> Table:
    """A table for CSV and JSON alone; `name` is its key in JSON."""
    return Table(tuple(map(Column, names)), rows(values), name, shown="data")
