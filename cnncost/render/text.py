"""A document as lines of styled text that fit a width: a terminal, a pipe and a file get the same lines.

Tables are laid out by `layout.py` instead of rich: a path is shortened in its middle, whereas rich would cut off its
end, the most specific part; each table states which columns to drop first; and rich, which is slow to import, is only
needed for colours.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from cnncost import units
from cnncost.render import document as parts
from cnncost.render import layout
from cnncost.render.layout import Line, TableColumn
from cnncost.render.wrapping import wrapped

Escape: TypeAlias = Callable[[str], str]
"""Replaces characters that can't be shown: `layout.printable` (control characters) or `layout.to_ascii`."""
STYLES = {
    "title": "bold", "heading": "bold", "total": "bold", "rule": "dim", "guide": "dim", "note": "dim", "zero": "dim",
    "own": "italic dim", "parent": "bold cyan", "class": "green", "biggest": "bold yellow",
    "bar": "blue", "front": "bold green", "grew": "bold red", "shrank": "green",
    "stated": "blue", "caption": "italic",
    "within": "green", "over": "bold red", "uncertain": "yellow", "warning": "bold red",
}  # fmt: skip
"""Rich's style for each style of a document; styles that are not listed have no colour."""
_SIGNS = "─├│└×…≥█▏"
"""Characters in tables that some encodings lack."""
_BLOCKS = "▁▂▃▄▅▆▇█"
"""Characters of a curve, by height."""
_BELOW = "    "
"""Indent of a remark below a row."""
_NAME = (12, 36)
"""Bounds of the minimum width of a row's name, which is otherwise three tenths of the line."""


def to_lines(document: parts.Document, width: int, escape: Escape = layout.printable) -> list[Line]:
    """Return the lines of title and parts, at most `width` long unless a part can't be made that narrow."""
    width = max(width, document.least)
    headline = document.title if document.headline is None else document.headline
    title = ", ".join(text for text in (headline, document.subtitle) if text)
    lines: list[Line] = [[(line, "title")] for line in wrapped(escape(title), width)]
    seen = _Seen(set(), set())
    for part in document.shown(parts.TEXT):
        shown = list(_part(part, width, seen, escape))
        if not shown:
            continue
        if part.apart and lines:
            lines.append([])
        lines += shown
    return lines


def to_text(document: parts.Document, width: int, *, color: bool = False, encoding: str = "utf-8") -> str:
    """Return the document as text: with ANSI escape codes if `color`, in ASCII if the encoding lacks a character."""
    lines = to_lines(document, width)
    if not encodable("".join(map(layout.plain, lines)), encoding):
        lines = [[(layout.to_ascii(text), style) for text, style in line]
                 for line in to_lines(document, width, layout.to_ascii)]  # fmt: skip
    return "\n".join((_colored if color else layout.plain)(line).rstrip() for line in lines)


def _colored(line: Line) -> str:
    """Return a line with ANSI escape codes."""
    from rich.color import ColorSystem
    from rich.style import Style

    return "".join(
        Style.parse(STYLES[style]).render(text, color_system=ColorSystem.STANDARD) if STYLES.get(style) else text
        for text, style in line
    )


def showable(text: str, encoding: str) -> str:
    """Return this package's own text, transliterated to ASCII if the encoding lacks its characters."""
    return text if encodable(_SIGNS, encoding) else "\n".join(layout.to_ascii(line) for line in text.split("\n"))


def encodable(text: str, encoding: str) -> bool:
    """Return whether an encoding has all characters of a text."""
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


class _Seen(NamedTuple):
    """What tables have shown so far: columns, which some notes would repeat, and signs, which some notes explain."""

    columns: set[str]
    signs: set[str]


def _part(part: parts.Part, width: int, seen: _Seen, escape: Escape) -> Iterator[Line]:
    """Yield the lines of a part, and add to `seen` what it shows."""
    note_lines = partial(_note_lines, width=width, escape=escape)
    match part:
        case parts.Table():
            if part.caption:
                yield from note_lines(parts.Note(part.caption, "caption"))
            fitting = _Fitting(part, width, escape)
            seen.columns.update(fitting.column_names)
            seen.signs.update(part.signs(parts.TEXT, fitting.narrowing.drop))
            yield from fitting.lines()
        case parts.Notes():
            if part.intro is not None:
                yield from note_lines(part.intro)
            for note in part.about(seen.signs).notes:
                if note.without not in seen.columns:
                    yield from note_lines(note, first=part.first, hang=part.hang)
        case parts.Equations():
            names = [", ".join(each.names) for each in part.equations]
            longest = max(map(layout.text_width, names), default=0)
            for name, each in zip(names, part.equations, strict=True):
                sign = "=" if each.latex else " "  # without LaTeX, the text says why there is no formula
                yield [(escape(f"{name:<{longest}} {sign} {each.text}"), "")]  # not wrapped, so that it can be copied
        case parts.Heading():
            yield from note_lines(parts.Note(part.text, part.style))
        case parts.Curve():
            yield from ([(line, "")] for line in _curve(part, width))
        case _:
            pass


def _note_lines(note: parts.Note, width: int, escape: Escape, first: str = "", hang: str = "  ") -> Iterator[Line]:
    lines = wrapped(escape(note.text + note.code), width, first, hang)
    if note.strong and lines:
        end = len(first + escape(note.text[: note.strong]))
        yield [(lines[0][:end], "over"), (lines[0][end:], note.style)]
        del lines[0]
    yield from ([(line, note.style)] for line in lines)


def table_lines(table: parts.Table, width: int, escape: Escape = layout.printable) -> list[Line]:
    """Return the lines of a table, narrowed by as many of its steps as the width requires."""
    return _Fitting(table, width, escape).lines()


class _Fitting:
    """Fits a table into a width by trying its steps; caches cells, because several steps show the same ones."""

    def __init__(self, table: parts.Table, width: int, escape: Escape) -> None:
        self.table, self.width, self.escape = table, width, escape
        self._cells: dict[tuple[int, bool], list[layout.Cell]] = {}
        self._columns: dict[tuple[int, bool, int | None, int], TableColumn] = {}
        self.narrowing = self._narrow()

    @property
    def column_names(self) -> set[str]:
        """Names of the columns that are shown."""
        return {column.name for _, column in self._remaining(self.narrowing)}

    def lines(self) -> list[Line]:
        """Return the lines of the table."""
        rows = self.table.rows
        rules = [i for i, row in enumerate(rows) if row.role == "total" and i and rows[i - 1].role != "total"]
        below = {
            i: list(_note_lines(parts.Note(row.below, "note"), self.width, self.escape, _BELOW, _BELOW))
            for i, row in enumerate(rows) if row.below
        }  # fmt: skip
        return layout.table(self._fields(self.narrowing, self.width), self.width, rules, below)

    def _narrow(self) -> parts.Narrowing:
        """Return the first step that fits (else the last), plus the optional columns that there is still room for."""
        narrowing = parts.Narrowing(drop=self.table.optional)
        for step in self.table.narrowing:
            if self._fits(narrowing):
                break
            narrowing = step._replace(drop=(*narrowing.drop, *step.drop), compact=narrowing.compact or step.compact)
        for name in self.table.optional:
            with_column = narrowing._replace(drop=tuple([each for each in narrowing.drop if each != name]))
            narrowing = with_column if self._fits(with_column) else narrowing
        return narrowing

    def _remaining(self, narrowing: parts.Narrowing) -> list[tuple[int, parts.Column]]:
        return [(i, column) for i, column in self.table.shown_in(parts.TEXT) if column.name not in narrowing.drop]

    def _fits(self, narrowing: parts.Narrowing) -> bool:
        return layout.needed(self._fields(narrowing, 0)) <= self.width

    def _fields(self, narrowing: parts.Narrowing, room: int) -> list[TableColumn]:
        """Return the columns for the layout; bars fill the rest of `room`, or have minimum width if `room` is 0."""
        columns, least = self._remaining(narrowing), dict(narrowing.least)
        fields = [self._field(i, narrowing) for i, _ in columns]
        for position, (index, column) in enumerate(columns):
            if column.bar is not None:
                # the first column has no gap before it, the bars have one space
                used = sum(field.width + field.gap for field in fields) - fields[0].gap + 1
                size = max(least.get(column.name, column.bar.least), min(room - used if room else 0, column.bar.most))
                numbers, bars = _with_bars(self.table, index, fields[position], size)
                bars = bars if room else replace(bars, cells=[layout.Cell(" " * size)])
                fields[position : position + 1] = [numbers, bars]
                break
        return fields

    def _field(self, index: int, narrowing: parts.Narrowing) -> TableColumn:
        column = self.table.columns[index]
        least = None if column.bar or column.kind == "bar" else dict(narrowing.least).get(column.name, column.least)
        if column.kind == "name":
            least = max(_NAME[0], min(_NAME[1], 3 * self.width // 10))
        gap = column.gap if narrowing.gap is None else min(column.gap, narrowing.gap)
        key = index, narrowing.compact, least, gap
        if key not in self._columns:
            heading = self.escape(column.heading.partition(" ")[0] if column.bar else column.heading)
            cells = self._cached_cells(index, narrowing.compact)
            self._columns[key] = TableColumn(heading, cells, column.right, least, gap, column.wrap)
        return self._columns[key]

    def _cached_cells(self, index: int, compact: bool) -> list[layout.Cell]:
        key = index, compact and self.table.columns[index].kind == "count"  # other kinds have no compact form
        if key not in self._cells:
            self._cells[key] = self._new_cells(*key)
        return self._cells[key]

    def _new_cells(self, index: int, compact: bool) -> list[layout.Cell]:
        column, rows = self.table.columns[index], self.table.rows
        cells = [_cell(column, row, index, compact, self.escape) for row in rows]
        if column.once:
            cells = [cell._replace(text="") if i and cell == cells[i - 1] else cell for i, cell in enumerate(cells)]
        if column.kind == "name":
            leads = map(self.escape, _leads([row.level for row in rows]))
            cells = [cell._replace(lead=lead) for cell, lead in zip(cells, leads, strict=True)]
        return cells or [layout.Cell("")]


def _leads(levels: Sequence[int | None]) -> list[str]:
    """Return the tree guides before each name.

    Rows are visited from the last upwards: a row is the last of its siblings if none follows on its level.
    """
    later: set[int] = set()
    leads = []
    for level in reversed(levels):
        if level is None:
            later = set()
            leads.append("")
        else:
            leads.append(layout.guide([each not in later for each in range(level + 1)]))
            later = {each for each in later if each < level} | {level}
    return leads[::-1]


def _with_bars(table: parts.Table, index: int, numbers: TableColumn, size: int) -> tuple[TableColumn, TableColumn]:
    """Return a column's numbers and its bars of at most `size` cells; totals have no bar.

    The first word of the heading is above the numbers, the rest above the bars.
    """
    column = table.columns[index]
    lengths = [Fraction((row.cell(index).value or 0) if row.role == "row" else 0) for row in table.rows]
    longest = max(lengths, default=Fraction(0)) or Fraction(1)
    bars = [
        layout.Cell(layout.bar(*(length / longest).as_integer_ratio(), size), row.style or "bar")
        for row, length in zip(table.rows, lengths, strict=True)
    ]  # fmt: skip
    first, _, rest = column.heading.partition(" ")
    if size < len(rest):
        first, _, rest = column.bar.short.rpartition(" ") if column.bar else ("", "", "")
    return replace(numbers, heading=first), TableColumn(rest, bars, gap=1)


def _cell(column: parts.Column, row: parts.Row, index: int, compact: bool, escape: Escape) -> layout.Cell:
    cell = row.cell(index)
    style = cell.style or row.style or column.style
    if column.kind == "bar":
        share = cell.value or 0
        bar = layout.bar(share.numerator, share.denominator, column.least or 10) if share else ""
        return layout.Cell(bar, cell.style or column.style or "bar")
    return layout.Cell(escape(column.text(cell, compact)), style, tail=escape(cell.tail))


def _curve(curve: parts.Curve, width: int) -> list[str]:
    """Return the curve as a line of block characters, each the maximum of an interval, and the marks' names below it.

    If a name does not fit there, another line lists all names.
    """
    values = curve.values
    if not values:
        return []
    count = min(width, curve.most, len(values))
    bounds = [i * len(values) // count for i in range(count + 1)]
    highest = [max(values[a:b]) for a, b in pairwise(bounds)]
    top = max(highest)
    bars = "".join(_BLOCKS[min(7, value * 8 // max(top, 1))] for value in highest)
    if not curve.marks:
        return [bars]
    starts = {name: min(first * count // len(values), count - 1) for name, first in curve.marks.items()}
    ends = [start - 1 for start in [*starts.values()][1:]] + [count]
    names_line, all_fit = "", True
    for (name, start), end in zip(starts.items(), ends, strict=True):
        if len(name) <= end - start:
            names_line = names_line.ljust(start) + name
        else:
            all_fit = False
    if all_fit:
        return [bars, names_line]
    legend = ", ".join(f"{name} from op {units.exact(first + 1)}" for name, first in curve.marks.items())
    return [bars, *([names_line] if names_line else []), *textwrap.wrap(legend, min(width, curve.most))]
