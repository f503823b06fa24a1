"""The lecture as terminal lines of styled parts; a pipe gets the same lines without styles."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby, zip_longest
from typing import NamedTuple

from cnncost.lecture.contents import LECTURE
from cnncost.lecture.findings import Findings, summary
from cnncost.lecture.tables import VERDICT, Grid, Note, grids
from cnncost.lecture.verdict import Verdict
from cnncost.render.layout import Line, places, plain, to_ascii

__all__ = ["ascii_text", "to_lines", "to_text"]

GAP = 2
WIDE = 120
"""From this width on, notes have their own column, and tables show the slide's calculations."""
LEAST_WIDTH = 60
LEAST_NOTE = 40
LEAST_COLUMN = 7
WIDEST_COLUMN = 36
_INDENT = "    "
_ASCII = str.maketrans({"«": '"', "»": '"', "−": "-", "²": "^2"})


def to_lines(findings: Findings, width: int, course: str = LECTURE) -> list[Line]:
    """All tables, and the summary; no line is longer than `width`, which is at least 60."""
    width = max(width, LEAST_WIDTH)
    lines: list[Line] = [[(line, "title")] for line in _wrap(f"The lecture, checked: {course}", width)]
    tables = grids(findings, full=width >= WIDE)
    for slide, _ in groupby(findings, key=lambda finding: finding.slide):
        lines.append([])
        lines += [[(line, "slide")] for line in _wrap(f"Slide {slide.number}: {slide.title}", width)]
        for grid in next(tables):
            lines += [[], *_grid(grid, width)]
    lines += [[], [(summary(findings), "title")]]
    return lines


def to_text(findings: Findings, width: int, course: str = LECTURE) -> str:
    """The lines without styles."""
    return "".join(f"{plain(line)}\n" for line in to_lines(findings, width, course))


def ascii_text(text: str) -> str:
    """The text in ASCII, for terminals without Unicode."""
    return to_ascii(text.translate(_ASCII))


class _Frame(NamedTuple):
    """Column widths, and the spaces between columns; the last column holds the notes, if `noted`."""

    widths: tuple[int, ...]
    gap: int
    noted: bool

    @property
    def width(self) -> int:
        """Width of the whole table."""
        return sum(self.widths) + self.gap * (len(self.widths) - 1)


def _grid(grid: Grid, width: int) -> Iterator[Line]:
    yield from ([(line, "caption")] for line in _wrap(grid.caption, width))
    frame = _frame(grid, width)
    yield from _row((*grid.headings, "how, and why"), grid, frame, heading=True)
    yield [("─" * frame.width, "rule")]
    for row, note in zip_longest(grid.rows, grid.notes if grid.inline else ()):
        yield from _row((*row, note.text if note else ""), grid, frame)
        if note and not frame.noted:
            yield from _below(note, width)
    if not grid.inline:
        yield from _listed(grid.notes, width)


def _frame(grid: Grid, width: int) -> _Frame:
    """Columns as wide as their texts, within limits; to fit, shrink the widest columns first and the gaps last."""
    noted = grid.inline and width >= WIDE and any(note.text for note in grid.notes)
    columns = zip(grid.headings, *grid.rows, strict=True)
    natural = [max(places(text) for text in column) for column in columns]
    widths = [min(column, WIDEST_COLUMN) for column in natural] if grid.inline else natural
    left = width - GAP * (len(widths) - 1) - (GAP + LEAST_NOTE if noted else 0)
    while sum(widths) > left and max(widths) > LEAST_COLUMN:
        widths[widths.index(max(widths))] -= 1
    if noted:
        widths.append(width - sum(widths) - GAP * len(widths))
    return _Frame(tuple(widths), GAP if sum(widths) <= left or noted else 1, noted)


def _row(row: Sequence[str], grid: Grid, frame: _Frame, *, heading: bool = False) -> Iterator[Line]:
    """Lines of a row; texts too long for their column are wrapped."""
    shown = row[: len(frame.widths)]
    wrapped = [_wrap(text, width) or [""] for text, width in zip(shown, frame.widths, strict=True)]
    for parts in zip_longest(*wrapped, fillvalue=""):
        line: Line = []
        for column, (part, width) in enumerate(zip(parts, frame.widths, strict=True)):
            blank, gap = " " * (width - places(part)), " " * frame.gap if column else ""
            before, after = (gap + blank, "") if column in grid.right else (gap, blank)
            style = "heading" if heading else _style((*grid.headings, "note")[column], row[column])
            line += [(before, ""), (part, style), (after, "")]
        yield _stripped(line)


def _style(heading: str, text: str) -> str:
    """Style of a text: a verdict's is its name, notes have their own."""
    if heading == VERDICT:
        return text
    return "note" if heading == "note" else ""


def _below(note: Note, width: int) -> Iterator[Line]:
    for line in _wrap(note.text, width, _INDENT, _INDENT):
        yield [(line, "note")]


def _listed(notes: Sequence[Note], width: int) -> Iterator[Line]:
    for note in notes:
        text = f"{note.subject}: {note.text}" if note.text else ""
        style = note.verdict.value if note.verdict is Verdict.DIFFERS else "note"
        for number, line in enumerate(_wrap(text, width, "  ", _INDENT)):
            end = len(note.subject) + 2 if not number else 0
            yield _stripped([(line[:end], style), (line[end:], "note")])


def _wrap(text: str, width: int, first: str = "", later: str = "") -> list[str]:
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=later, break_on_hyphens=False)


def _stripped(line: Line) -> Line:
    """The line without empty parts and trailing spaces."""
    kept = [part for part in line if part[0]]
    while kept and not kept[-1][0].strip():
        kept.pop()
    return kept
