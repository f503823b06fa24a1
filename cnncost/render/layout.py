"""Lays out a table as lines of styled text, fitted to a width. Independent of reports; prints nothing.

A line is a list of (text, style); plain text is the lines without their styles, so a terminal and a pipe get the same
layout. Widths are in terminal cells: some characters take two.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import NamedTuple, TypeAlias

from cnncost.render.wrapping import wrapped

Line: TypeAlias = "list[tuple[str, str]]"

GAP = 2
"""Spaces between columns."""
_ELLIPSIS = "…"
_EIGHTHS = " ▏▎▍▌▋▊▉"
_ASCII = str.maketrans({
    "├": "|", "└": "`", "│": "|", "─": "-", "…": "~", "×": "x", "·": "*", "–": "-", "≥": ">=", "→": "->",
    "█": "#", "▉": "#", "▊": "#", "▋": "#", "▌": "#", "▍": " ", "▎": " ", "▏": " ", "²": "^2", "Σ": "sum ",
    "≤": "<=", "◆": "*", "✓": "=", "≈": "~", "✗": "!", "−": "-", "±": "+-",
    "«": '"', "»": '"',
})  # fmt: skip


class Cell(NamedTuple):
    """A cell. `text` is shortened first; `lead` and `tail` have styles of their own."""

    text: str
    style: str = ""
    lead: str = ""
    tail: str = ""

    @property
    def width(self) -> int:
        """Width in terminal cells."""
        width = text_width(self.text)
        return width + text_width(self.lead) + text_width(self.tail) if self.lead or self.tail else width


@dataclass(frozen=True)
class TableColumn:
    """A column of cells, `gap` spaces after the previous column.

    `least` is the minimum width to which cells may be shortened or, with `wrap`, wrapped; None: they keep their width.
    """

    heading: str
    cells: Sequence[Cell]
    right: bool = False
    least: int | None = None
    gap: int = GAP
    wrap: bool = False

    @cached_property
    def width(self) -> int:
        """Width of the widest cell or the heading; cached, because each step of fitting a table needs it."""
        return max(text_width(self.heading), *(cell.width for cell in self.cells))

    @property
    def needed(self) -> int:
        """Minimum width."""
        return self.width if self.least is None else min(self.width, self.least)


def needed(columns: Sequence[TableColumn]) -> int:
    """Return the minimum width of a table with these columns."""
    return sum(column.needed for column in columns) + _gaps(columns)


def _gaps(columns: Sequence[TableColumn]) -> int:
    return sum(column.gap for column in columns[1:])


def table(
    columns: Sequence[TableColumn],
    width: int,
    rules: Iterable[int] = (),
    below: Mapping[int, Sequence[Line]] | None = None,
) -> list[Line]:
    """Return the heading, a rule, and the lines of each row.

    Args:
        columns: the columns.
        width: width of a line, in terminal cells.
        rules: indices of rows above which a rule is drawn.
        below: further lines below a row, by the row's index.
    """
    column_widths = widths(columns, width)
    heading = _lines([Cell(column.heading, "heading") for column in columns], columns, column_widths)
    rule = [("─" * (sum(column_widths) + _gaps(columns)), "rule")]
    lines, rows_below_rules = [*heading, rule], set(rules)
    for row in range(max(len(column.cells) for column in columns)):
        if row and row in rows_below_rules:
            lines.append(rule)
        lines += _lines([column.cells[row] for column in columns], columns, column_widths)
        lines += below.get(row, ()) if below else ()
    return lines


def widths(columns: Sequence[TableColumn], width: int) -> list[int]:
    """Return each column's width: its minimum, plus an equal share of the spare width for columns that need more."""
    sizes = [column.needed for column in columns]
    spare = width - needed(columns)
    while spare > 0:
        shortened = [i for i, column in enumerate(columns) if sizes[i] < column.width][:spare]
        if not shortened:
            break
        for i in shortened:
            sizes[i] += 1
        spare -= len(shortened)
    return sizes


def _lines(cells: Sequence[Cell], columns: Sequence[TableColumn], widths: Sequence[int]) -> list[Line]:
    """Return the lines of a row: one, or several if a text is wrapped."""
    if not any(column.wrap for column in columns):
        return [_line(cells, columns, widths)]
    texts = [
        wrapped(cell.text, width, hang="") if column.wrap else [cell.text]
        for cell, column, width in zip(cells, columns, widths, strict=True)
    ]
    rows = ([cell._replace(text=text) for cell, text in zip(cells, line, strict=True)]
            for line in zip_longest(*texts, fillvalue=""))  # fmt: skip
    return [_line(row, columns, widths) for row in rows]


def _line(cells: Sequence[Cell], columns: Sequence[TableColumn], widths: Sequence[int]) -> Line:
    line: Line = []
    for cell, column, width in zip(cells, columns, widths, strict=True):
        if line:
            line.append((" " * column.gap, ""))
        parts, filled = _parts(cell, width)
        blank = (" " * (width - filled), "")
        line.extend([blank, *parts] if column.right else [*parts, blank])
    return _stripped(line)


def _parts(cell: Cell, width: int) -> tuple[Line, int]:
    """Return a cell's parts, fitted into `width`, and their width. Lead and tail are shortened only if necessary."""
    natural = cell.width
    if natural <= width:
        return [(cell.lead, "guide"), (cell.text, cell.style), (cell.tail, "note")], natural
    room = width - text_width(cell.lead) - text_width(cell.tail)
    if room < min(3, text_width(cell.text)):
        parts = [(shorten(cell.lead + cell.text + cell.tail, width), cell.style)]
    else:
        parts = [(cell.lead, "guide"), (shorten(cell.text, room), cell.style), (cell.tail, "note")]
    return parts, sum(text_width(text) for text, _ in parts)


def _stripped(line: Line) -> Line:
    """Return a line without empty parts and trailing spaces."""
    parts = [part for part in line if part[0]]
    while parts and not parts[-1][0].strip():
        parts.pop()
    if parts:
        parts[-1] = (parts[-1][0].rstrip(), parts[-1][1])
    return parts


def plain(line: Line) -> str:
    """Return a line without styles."""
    return "".join(text for text, _ in line)


def guide(last: Sequence[bool]) -> str:
    """Return the tree guides before a name; `last`: for each level, whether its item is the last sibling.

    The first level is not indented.
    """
    if len(last) < 2:
        return ""
    return "".join("   " if ended else "│  " for ended in last[1:-1]) + ("└─ " if last[-1] else "├─ ")


def bar(part: int, whole: int, width: int) -> str:
    """Return a bar with a resolution of 1/8 cell; any part above 0 shows at least 1/8."""
    if not whole or part <= 0:
        return ""
    eighths = max(1, min(8 * width, (8 * width * part + whole // 2) // whole))
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")


def text_width(text: str) -> int:
    """Return the width of a text in terminal cells."""
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def shorten(text: str, width: int) -> str:
    """Shorten a text to `width` by replacing its middle with `…`."""
    if text_width(text) <= width:
        return text
    if width < 3:
        return _beginning(text, width)
    end = _beginning(text[::-1], width // 2)[::-1]
    return _beginning(text, width - 1 - text_width(end)) + _ELLIPSIS + end


def _beginning(text: str, width: int) -> str:
    """Return the longest beginning of a text that is at most `width` wide."""
    filled = 0
    for i, char in enumerate(text):
        filled += _char_width(char)
        if filled > width:
            return text[:i]
    return text


def printable(text: str) -> str:
    """Escape control characters, so that a name can't break a row or colour the terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def end(text: str) -> str:
    """Return what a sentence needs behind it: a full stop, unless it ends in one or in a colon."""
    return "" if text.endswith((".", ":")) else "."


def to_ascii(text: str) -> str:
    """Transliterate for ASCII-only terminals; line and bar characters keep their width."""
    return printable(text).translate(_ASCII).encode("ascii", "replace").decode("ascii")
