"""A document: the result of a command as frozen data, which every renderer can show; renderers compute nothing.

Cells hold values, never text that stands for a number: a count is an int, a shape a tuple, a share a Fraction. How a
kind of value is formatted is defined once, in `values.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

from cnncost.render.table import (
    COMPACT,
    DATA,
    MARKUP,
    STRONG,
    TEXT,
    Bar,
    Cell,
    Column,
    Narrowing,
    Role,
    Row,
    Shown,
    Table,
)  # fmt: skip
from cnncost.render.values import Kind

__all__ = [
    "COMPACT", "DATA", "MARKUP", "STRONG", "TEXT", "Bar", "Cell", "Column", "Curve", "Document", "Equation",
    "Equations", "Heading", "Narrowing", "Note", "Notes", "Part", "Picture", "Role", "Row", "Shown", "Table", "Tiles",
    "data_table", "notes", "rows",
]  # fmt: skip


class Note(NamedTuple):
    """A sentence or phrase, with its style in a terminal.

    Attributes:
        without: name of a column: the note is left out if a table above it shows this column.
        sign: a mark of cells, such as `~`, that the note explains: it is left out unless a table of the document (in
            text, one above it) shows a cell with this mark.
        code: code at the end of the note, such as a command line.
        strong: how many of its first characters are emphasized.
    """

    text: str
    style: str = ""
    without: str = ""
    code: str = ""
    strong: int = 0
    sign: str = ""


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

    def about(self, signs: Iterable[str]) -> Notes:
        """Return the notes without those on signs that are not among these."""
        shown = {"", *signs}
        kept = tuple([note for note in self.notes if note.sign in shown])
        return self if len(kept) == len(self.notes) else replace(self, notes=kept)

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
        """Return the non-empty parts that a group of formats shows.

        Of text, which may drop columns, the caller has to leave out the notes on signs that it doesn't show.
        """
        shown: list[Part] = [part for part in self.parts if part.shown in where]
        explained = any(note.sign for part in shown if isinstance(part, Notes) for note in part.notes)
        if explained and where is not TEXT:
            signs = {sign for table in self.tables(where) for sign in table.signs(where)}
            shown = [part.about(signs) if isinstance(part, Notes) else part for part in shown]
        return [part for part in shown if not (isinstance(part, Notes) and part.empty)]

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
