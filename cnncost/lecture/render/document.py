"""The lecture as a document: HTML, LaTeX, CSV and JSON. Computes nothing.

Markdown and text have writers of their own: the page in reports/ is in a style of its own, and text wraps cells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import groupby
from typing import Any

from cnncost.lecture import values
from cnncost.lecture.contents import LECTURE, topic_of
from cnncost.lecture.findings import Finding, Findings, summary
from cnncost.lecture.tables import RULES, VERDICT, Grid, grids, slips
from cnncost.lecture.values import Measured
from cnncost.lecture.verdict import Verdict
from cnncost.render.document import Cell, Column, Document, Heading, Part, Row, Table, notes, rows

__all__ = ["COLUMNS", "document"]

COLUMNS = (
    "slide", "title", "table", "column", "row", "what", "printed", "exact", "unit", "verdict", "distance", "how",
    "beside", "reason", "source",
)  # fmt: skip
_PLACES = 4


def document(findings: Findings, *, whole: bool = False, course: str = LECTURE) -> Document:
    """The slides' tables; if `whole`, it covers the whole course of this title and begins with a list of the slips.

    Data has a claim in each row: numbers without separators, ratios with four decimals.
    """
    counts = Counter(finding.verdict for finding in findings)
    facts = {
        "lecture": course,
        "summary": {"claims": len(findings), **{verdict.value: counts[verdict] for verdict in Verdict}},
        "claims": [_claim(finding) for finding in findings],
    }
    data = Table(tuple(map(Column, COLUMNS)), rows(map(_row, findings)), shown="data")
    rules = (f"{verdict}: {rule}" for verdict, rule in RULES.items())
    parts = (notes(summary(findings), listed=False), notes(*rules), *_slips(findings, whole), *_slides(findings), data)
    return Document("lecture", f"The lecture, checked: {course}", facts=facts, parts=parts)


def _slips(findings: Findings, whole: bool) -> Iterator[Part]:
    if whole:
        yield Heading("What differs")
        yield _table(slips(findings), "why")


def _slides(findings: Findings) -> Iterator[Part]:
    tables = grids(findings, full=True)
    for topic, of_topic in groupby(findings, key=lambda finding: topic_of(finding.slide)):
        if topic:
            yield Heading(topic)
        for slide, _ in groupby(of_topic, key=lambda finding: finding.slide):
            yield Heading(f"Slide {slide.number}: {slide.title}", 2)
            for grid in next(tables):
                yield _table(grid, "how, and why")
                if not grid.inline:
                    yield notes(*(f"{note.subject}: {note.text}" for note in grid.notes if note.text))


def _table(grid: Grid, note_heading: str) -> Table:
    """A table; notes are its last column if they are inline."""
    headings = (*grid.headings, *((note_heading,) if grid.inline else ()))
    columns = (
        Column(str(i), heading, "figure" if i in grid.right else "text") for i, heading in enumerate(headings)
    )  # fmt: skip
    shown = []
    for i, row in enumerate(grid.rows):
        cells = [_cell(heading, text) for heading, text in zip(grid.headings, row, strict=True)]
        shown.append(Row((*cells, *([grid.notes[i].text] if grid.inline else []))))
    return Table(tuple(columns), tuple(shown), caption=grid.caption, shown="people")


def _cell(heading: str, text: str) -> Cell:
    return Cell(text, style="over" if heading == VERDICT and text == Verdict.DIFFERS else "")


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
    value = measured.value
    plain = round(float(value), _PLACES) if isinstance(value, Fraction) and value.denominator != 1 else value
    if isinstance(plain, Fraction):
        plain = int(plain)
    return {"value": plain, "unit": measured.unit, "text": values.text(measured, right)}
