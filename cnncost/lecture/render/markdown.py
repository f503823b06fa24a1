"""The lecture as a Markdown page: slips first, then slide by slide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from itertools import groupby

from cnncost.lecture.contents import LECTURE, topic_of
from cnncost.lecture.findings import Findings, summary
from cnncost.lecture.tables import RULES, VERDICT, Grid, Note, grids, slips
from cnncost.lecture.verdict import Verdict

__all__ = ["to_markdown"]

TITLE = "# The lecture, checked"
_WIDTH = 117
"""Of the rules' lines."""
_SPECIAL = str.maketrans({"|": "\\|", "*": "\\*", "_": "\\_", "<": "&lt;", ">": "&gt;", "~": "\\~"})


def to_markdown(findings: Findings, *, whole: bool, course: str = LECTURE) -> str:
    """A Markdown page; if `whole`, it covers the whole course of this title and begins with a list of the slips."""
    parts = [TITLE, _introduction(findings, course)]
    if whole:
        parts += ["## What differs", _table(slips(findings), "why")]
    tables = grids(findings, full=True)
    for topic, of_topic in groupby(findings, key=lambda finding: topic_of(finding.slide)):
        parts += [f"## {_escaped(topic)}"] if topic else []
        for slide, _ in groupby(of_topic, key=lambda finding: finding.slide):
            parts.append(f"### Slide {slide.number}: {_escaped(slide.title)}")
            parts += [_captioned(grid) for grid in next(tables)]
    return "\n\n".join(parts) + "\n"


def _introduction(findings: Findings, course: str) -> str:
    rules = "\n".join(
        textwrap.fill(f"- **{verdict}**: {rule}", _WIDTH, subsequent_indent="  ") for verdict, rule in RULES.items()
    )
    return (
        f"Every figure of the slides ({_escaped(course)}),\n"
        f"beside that of the real network, analysed, or tried on torch's own layers. {summary(findings)}.\n\n{rules}"
    )


def _captioned(grid: Grid) -> str:
    return (f"*{_escaped(grid.caption)}*\n\n" if grid.caption else "") + _table(grid, "how, and why")


def _table(grid: Grid, note_heading: str) -> str:
    """A Markdown table; notes in its last column, or as a list below it."""
    headings = (*grid.headings, *((note_heading,) if grid.inline else ()))
    lines = [_line(headings), _line("--:" if index in grid.right else "---" for index in range(len(headings)))]
    for index, row in enumerate(grid.rows):
        cells = [_cell(grid, column, text) for column, text in enumerate(row)]
        lines.append(_line([*cells, *([_escaped(grid.notes[index].text)] if grid.inline else [])]))
    if not grid.inline:
        lines += ["", *(f"- {_subject(note)}: {_escaped(note.text)}" for note in grid.notes if note.text)]
    return "\n".join(lines)


def _cell(grid: Grid, column: int, text: str) -> str:
    differs = grid.headings[column] == VERDICT and text == Verdict.DIFFERS
    return f"**{text}**" if differs else _escaped(text)


def _subject(note: Note) -> str:
    return f"**{_escaped(note.subject)}**" if note.verdict is Verdict.DIFFERS else _escaped(note.subject)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    return text.translate(_SPECIAL)
