"""The lecture as lines of a terminal: styled parts, so that a pipe gets the same lines without the styles."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby, zip_longest

from cnncost.lecture.contents import LECTURE
from cnncost.lecture.findings import Findings, summary
from cnncost.lecture.tables import VERDICT, Grid, Note, grids
from cnncost.lecture.verdict import Verdict
from cnncost.report.layout import Line, places, plain, to_ascii

__all__ = ["ascii_lines", "to_lines", "to_text"]

GAP = 2
WIDE = 120
"""From this width on, notes have a column of their own, and tables show the slide's calculations."""
LEAST_WIDTH = 60
LEAST_NOTE = 40
LEAST_COLUMN = 8
WIDEST_COLUMN = 36
_INDENT = "    "
_ASCII = str.maketrans({"«": '"', "»": '"', "−": "-", "²": "^2"})


def to_lines(findings: Findings, width: int) -> list[Line]:
    """All tables, and the summary; no line is longer than `width`, which is 60 at least."""
    width = max(width, LEAST_WIDTH)
    lines: list[Line] = [[(line, "title")] for line in _wrap(f"The lecture, checked: {LECTURE}", width)]
    tables = grids(findings, full=width >= WIDE)
    for slide, _ in groupby(findings, key=lambda finding: finding.slide):
        lines.append([])
        lines += [[(line, "slide")] for line in _wrap(f"Slide {slide.number}: {slide.title}", width)]
        for grid in next(tables):
            lines += [[], *_grid(grid, width)]
    lines += [[], [(summary(findings), "title")]]
    return lines


def to_text(findings: Findings, width: int) -> str:
    """The lines without styles."""
    return "".join(f"{plain(line)}\n" for line in to_lines(findings, width))


def ascii_lines(lines: Sequence[Line]) -> list[Line]:
    """For a terminal that has no other signs."""
    return [[(to_ascii(text.translate(_ASCII)), style) for text, style in line] for line in lines]


def _grid(grid: Grid, width: int) -> Iterator[Line]:
    if grid.caption:
        yield [(grid.caption, "caption")]
    columns = _widths(grid, width)
    beside = grid.inline and any(note.text for note in grid.notes)
    note_width = width - sum(columns) - GAP * len(columns) if beside and width >= WIDE else 0
    yield from _row(grid.headings, grid, columns, heading=True, note=["how, and why"] if note_width else ())
    yield [("─" * (width if note_width else sum(columns) + GAP * (len(columns) - 1)), "rule")]
    for row, note in zip_longest(grid.rows, grid.notes if grid.inline else ()):
        if note_width:
            yield from _row(row, grid, columns, note=_wrap(note.text, note_width))
        else:
            yield from _row(row, grid, columns)
            yield from _below(note, width)
    if not grid.inline:
        yield from _listed(grid.notes, width)


def _widths(grid: Grid, width: int) -> list[int]:
    """As wide as the texts are, within limits; the widest give way until all fit."""
    texts = zip(*((grid.headings, *grid.rows)), strict=True)
    natural = [max(places(text) for text in column) for column in texts]
    widths = [min(column, WIDEST_COLUMN) for column in natural] if grid.inline else natural
    left = width - GAP * (len(widths) - 1) - (GAP + LEAST_NOTE if grid.inline and width >= WIDE else 0)
    while sum(widths) > left and max(widths) > LEAST_COLUMN:
        widths[widths.index(max(widths))] -= 1
    return widths


def _row(
    row: Sequence[str], grid: Grid, widths: Sequence[int], *, heading: bool = False, note: Sequence[str] = ()
) -> Iterator[Line]:
    """A row; texts too long for their column go on below, and a note in a last column."""
    wrapped = [_wrap(text, width) or [""] for text, width in zip(row, widths, strict=True)]
    for parts in zip_longest(*wrapped, note, fillvalue=""):
        line: Line = []
        for column, (part, width) in enumerate(zip(parts, widths, strict=False)):
            style = "heading" if heading else _style(grid.headings[column], row[column])
            blank, gap = " " * (width - places(part)), " " * GAP if column else ""
            before, after = (gap + blank, "") if column in grid.right else (gap, blank)
            line += [(before, ""), (part, style), (after, "")]
        if note:
            line += [(" " * GAP, ""), (parts[-1], "note")]
        yield _stripped(line)


def _style(heading: str, text: str) -> str:
    return text if heading == VERDICT else ""


def _below(note: Note | None, width: int) -> Iterator[Line]:
    if note is not None:
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
    """Without empty parts, and without blanks at the end."""
    kept = [part for part in line if part[0]]
    while kept and not kept[-1][0].strip():
        kept.pop()
    return kept
