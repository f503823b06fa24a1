"""Lays out a checked lecture as a Document. Nothing is computed here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import groupby
from typing import Any

from cnncost.lecture import values
from cnncost.lecture.contents import LECTURE, topic_of
from cnncost.lecture.findings import Finding, Findings, summary
from cnncost.lecture.tables import RULES, VERDICT, Grid, grids, slips
from cnncost.lecture.values import Measured
from cnncost.lecture.verdict import Verdict
from cnncost.render.document import (
    Cell,
    Column,
    Document,
    Heading,
    Narrowing,
    Note,
    Notes,
    Part,
    Row,
    Table,
    data_table,
    notes,
)

__all__ = ["COLUMNS", "WIDE", "document"]

COLUMNS = (
    "slide", "title", "table", "column", "row", "what", "printed", "exact", "unit", "verdict", "distance", "how",
    "beside", "reason", "source",
)  # fmt: skip
_PLACES = 4
"""Number of decimals of ratios in CSV and JSON."""


WIDE = 120
"""Minimum width of a terminal, in characters, for tables with a column of notes and the slides' calculations."""
_STYLES = {
    Verdict.EXACT: "within", Verdict.ROUNDED: "uncertain", Verdict.DIFFERS: "over", Verdict.STATED: "stated",
}  # fmt: skip
_USUAL, _LEAST = 36, 7
"""Minimum width of a column, in characters: normally, and in narrow terminals."""
_LEAST_NOTE = 40
"""Minimum width of the column of notes, in characters."""


def document(findings: Findings, *, whole: bool = False, course: str = LECTURE, wide: bool = False) -> Document:
    """Return the slides' tables, with a verdict on every figure; in data formats, a table with a row for each claim.

    Args:
        findings: the claims with their verdicts.
        whole: whether the findings are of all slides. Markup then begins with a table of all figures that differ.
        course: title of the course.
        wide: whether text is at least `WIDE` characters wide.
    """
    counts = Counter(finding.verdict for finding in findings)
    facts = {
        "lecture": course,
        "summary": {"claims": len(findings), **{verdict.value: counts[verdict] for verdict in Verdict}},
        "claims": [_claim(finding) for finding in findings],
    }
    data = data_table(COLUMNS, map(_row, findings))
    # the verdict's name in bold
    rules = tuple(Note(f"{verdict}: {rule}", strong=len(verdict)) for verdict, rule in RULES.items())
    parts = (
        notes(f"{_ABOUT}. {summary(findings)}", listed=False, shown="markup"), Notes(rules, shown="markup"),
        *_slips(findings, whole), *_slides(findings, wide), notes(summary(findings), style="title", shown="text"), data,
    )  # fmt: skip
    return Document("lecture", f"The lecture, checked: {course}", facts=facts, parts=parts)


_ABOUT = "Every figure on the slides is compared with an analysis of the actual network or a test of torch's own layers"


def _slips(findings: Findings, whole: bool) -> Iterator[Part]:
    if whole:
        yield Heading("What differs", shown="markup")
        yield _table(slips(findings), "why")


def _slides(findings: Findings, wide: bool) -> Iterator[Part]:
    for_text, for_markup = grids(findings, full=wide), grids(findings, full=True)
    for topic, of_topic in groupby(findings, key=lambda finding: topic_of(finding.slide)):
        if topic:
            yield Heading(topic, shown="markup")
        for slide, _ in groupby(of_topic, key=lambda finding: finding.slide):
            yield Heading(f"Slide {slide.number}: {slide.title}", 2, style="parent")
            for grid in next(for_text):
                yield from _in_text(grid, wide)
            for grid in next(for_markup):
                yield _table(grid, "how, and why")
                if not grid.inline:
                    yield Notes(_notes(grid), shown="markup")


def _table(grid: Grid, note_heading: str) -> Table:
    """Return a table for markup. Inline notes are its last column."""
    columns = (*_columns(grid), *((Column("note", note_heading, wrap=True),) if grid.inline else ()))
    shown = [
        Row((*_cells(grid, row), *((grid.notes[i].text,) if grid.inline else ()))) for i, row in enumerate(grid.rows)
    ]
    return Table(columns, tuple(shown), caption=grid.caption, shown="markup")


def _in_text(grid: Grid, wide: bool) -> Iterator[Part]:
    """Yield a table for text. Inline notes are a column if there is room, else lines below their rows."""
    inline = [note.text for note in grid.notes] if grid.inline else [""] * len(grid.rows)
    as_column = wide and any(inline)
    note = Column("note", "how, and why", wrap=True, least=_LEAST_NOTE, style="note")
    shown = [
        Row((*_cells(grid, row), *((text,) if as_column else ())), below="" if as_column else text)
        for row, text in zip(grid.rows, inline, strict=True)
    ]
    narrow = tuple((str(i), _LEAST) for i in range(len(grid.headings)))
    steps = Narrowing(least=narrow), Narrowing(least=narrow, gap=1)
    columns = (*_columns(grid), *((note,) if as_column else ()))
    yield Table(columns, tuple(shown), caption=grid.caption, narrowing=steps, shown="text")
    if not grid.inline:
        yield Notes(_notes(grid), apart=False, shown="text", first="  ", hang="    ")


def _columns(grid: Grid) -> tuple[Column, ...]:
    return tuple(
        Column(str(i), heading, "figure" if i in grid.right else "text", least=_USUAL, wrap=True)
        for i, heading in enumerate(grid.headings)
    )


def _cells(grid: Grid, row: Sequence[str]) -> tuple[Cell, ...]:
    pairs = zip(grid.headings, row, strict=True)
    return tuple(
        Cell(text, style=_STYLES[Verdict(text)] if heading == VERDICT and text else "") for heading, text in pairs
    )


def _notes(grid: Grid) -> tuple[Note, ...]:
    return tuple(
        Note(f"{note.subject}: {note.text}", "note", strong=len(note.subject) if note.verdict is Verdict.DIFFERS else 0)
        for note in grid.notes if note.text
    )  # fmt: skip


def _row(finding: Finding) -> tuple[str | int, ...]:
    claim = finding.claim
    column, row = (claim.cell.side, claim.cell.row or "total") if claim.cell else ("", "")
    exact, unit = (_plain(finding.exact, claim.right), finding.exact.unit) if finding.exact else ("", "")
    return (
        finding.slide.number, finding.slide.title, finding.table.caption, column, row,
        claim.what, finding.printed, exact, unit, finding.verdict.value, finding.judgement.distance, finding.how,
        finding.beside_text, claim.reason, claim.source,
    )  # fmt: skip


def _plain(measured: Measured, right: str = "") -> str:
    """Return a figure as text for CSV, without thousands separators."""
    value = measured.value
    if isinstance(value, Fraction) and value.denominator != 1:
        return values.decimal(value, _PLACES).replace(",", "")
    if isinstance(value, int | Fraction) and not isinstance(value, bool):
        return str(int(value))
    return values.text(measured, right)


def _claim(finding: Finding) -> dict[str, Any]:
    claim = finding.claim
    return {
        "slide": finding.slide.number,
        "title": finding.slide.title,
        "table": finding.table.caption,
        "cell": claim.cell._asdict() if claim.cell else None,
        "what": claim.what,
        "printed": finding.printed,
        "exact": _measured(finding.exact, claim.right) if finding.exact else None,
        "verdict": finding.verdict.value,
        "distance": finding.judgement.distance,
        "how": finding.how,
        "beside": [{"what": words, **_measured(measured)} for words, measured in finding.beside],
        "reason": claim.reason,
        "source": claim.source,
    }


def _measured(measured: Measured, right: str = "") -> dict[str, Any]:
    """Return a figure as plain data for JSON."""
    value = measured.value
    plain = round(float(value), _PLACES) if isinstance(value, Fraction) and value.denominator != 1 else value
    if isinstance(plain, Fraction):
        plain = int(plain)
    return {"value": plain, "unit": measured.unit, "text": values.text(measured, right)}
