"""Lays out findings as tables of text: lists, or both networks side by side as on the slides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from cnncost import units
from cnncost.lecture import values
from cnncost.lecture.claims import TOTAL, Cell, Side
from cnncost.lecture.findings import Finding, Findings
from cnncost.lecture.verdict import Verdict

__all__ = ["RULES", "VERDICT", "Grid", "Note", "grids", "slips"]

VERDICT = "verdict"
"""Heading of the verdict column."""
RULES = {
    Verdict.EXACT: "the figures are equal, or the statement holds.",
    Verdict.ROUNDED: "the printed number is the exact one, rounded to the digits printed or cut off after at least two "
    "of them. Trailing zeros of a shortened number (230k, 4700) are not significant.",
    Verdict.DIFFERS: "anything else. The exact figure and the reason are given next to it.",
    Verdict.STATED: "the figure can't be computed: sizes of data sets, error rates, dates, times on a device. The "
    "source is given, and next to it what can be counted.",
}
"""What each verdict means; `verdict.py` has the rule in full."""
_SIDES: dict[Side, tuple[str, str]] = {"fc": ("fully connected", "FC"), "conv": ("convolutional", "conv")}
"""Headings of the two halves of a side-by-side table, in full and abbreviated."""


@dataclass(frozen=True, slots=True)
class Note:
    """A note on a table's row or, if listed below the table, on the claim that `subject` names."""

    subject: str
    text: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of text.

    Attributes:
        caption: caption; may be empty.
        headings: headings of the columns.
        right: indices of right-aligned columns.
        rows: the rows, with one text per column.
        notes: one per row if `inline`; otherwise listed below the table.
        inline: whether each row has a note.
    """

    caption: str
    headings: tuple[str, ...]
    right: frozenset[int]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[Note, ...]
    inline: bool


def grids(findings: Findings, *, full: bool) -> Iterator[tuple[Grid, ...]]:
    """Yield each slide's tables, in order; `full` shows the slide's own calculations in side-by-side tables."""
    for _, of_slide in groupby(findings, key=lambda finding: finding.slide.number):
        tables = [tuple(of_table) for _, of_table in groupby(of_slide, key=lambda finding: id(finding.table))]
        yield tuple(_grid(table, full) for table in tables)


def slips(findings: Findings) -> Grid:
    """Return a table of the figures that differ, each once, with the exact figure."""
    by_figure: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        if finding.verdict is Verdict.DIFFERS:
            by_figure.setdefault((finding.printed, finding.exact_text), []).append(finding)
    rows = tuple((_numbers(same), same[0].claim.what, *_figures(same[0])[:2]) for same in by_figure.values())
    notes = tuple(Note(same[0].claim.what, same[0].remark, Verdict.DIFFERS) for same in by_figure.values())
    return Grid("", ("slide", "what", "on the slide", "exact"), frozenset({2, 3}), rows, notes, inline=True)


def _numbers(findings: list[Finding]) -> str:
    """Return the slides' numbers without duplicates: `45, 46`."""
    return ", ".join(dict.fromkeys(str(finding.slide.number) for finding in findings))


def _grid(findings: Findings, full: bool) -> Grid:
    if any(finding.claim.cell for finding in findings):
        return _side_by_side(findings, full)
    return _list(findings, full)


def _figures(finding: Finding) -> tuple[str, str, str]:
    """Return the printed figure, the exact figure, and the verdict."""
    return finding.printed, finding.exact_text or units.NOTHING, finding.verdict.value


def _list(findings: Findings, full: bool) -> Grid:
    """Return a table with a row for each claim; further measures become columns if several claims share them all."""
    table, labels = findings[0].table, _shared_labels(findings)
    besides = [tuple(values.text(measured) for _, measured in finding.beside) for finding in findings]
    rows = tuple(
        (finding.claim.what, *_figures(finding), *(beside if labels else ()))
        for finding, beside in zip(findings, besides, strict=True)
    )
    notes = tuple(
        Note(finding.claim.what, _note(finding, full, beside=not labels), finding.verdict) for finding in findings
    )
    right = frozenset({1, 2, *range(4, 4 + len(labels))})
    return Grid(table.caption, ("what", table.where, "exact", VERDICT, *labels), right, rows, notes, inline=True)


def _shared_labels(findings: Findings) -> tuple[str, ...]:
    labels = {tuple(label for label, _ in finding.beside) for finding in findings}
    return labels.pop() if len(labels) == 1 and len(findings) > 1 else ()


def _side_by_side(findings: Findings, full: bool) -> Grid:
    """Return a table in the slide's layout: the fully connected network next to the convolutional one."""
    by_cell = {finding.claim.cell: finding for finding in findings if finding.claim.cell}
    sides: tuple[Side, ...] = tuple(side for side in ("fc", "conv") if any(cell.side == side for cell in by_cell))
    rows = sorted({cell.row for cell in by_cell}, key=lambda row: (row == TOTAL, row))
    return Grid(
        findings[0].table.caption,
        ("", *(heading for side in sides for heading in (_SIDES[side][0 if full else 1], *_headings(full)))),
        # the two columns of figures; each side has four columns, after the row's number
        frozenset(index for side in range(len(sides)) for index in (4 * side + 2, 4 * side + 3)),
        tuple(_row(row, [by_cell.get(Cell(side, row)) for side in sides], full) for row in rows),
        tuple(Note(_subject(each), _note(each, full, work=not full), each.verdict) for each in by_cell.values()),
        inline=False,
    )


def _row(row: int, pair: list[Finding | None], full: bool) -> tuple[str, ...]:
    cells = ["" if row == TOTAL else str(row)]
    for finding in pair:
        if finding is None:
            cells += [""] * 4
        else:
            printed, *rest = _figures(finding)
            cells += [finding.claim.what, printed if full else finding.claim.printed, *rest]
    return tuple(cells)


def _headings(full: bool) -> tuple[str, ...]:
    return "on the slide" if full else "slide", "exact", VERDICT


def _subject(finding: Finding) -> str:
    """Return what a note is about: the layer; for a total, also the network."""
    cell = finding.claim.cell
    if cell is None or cell.row != TOTAL:
        return finding.claim.what
    return f"{finding.claim.what}, {_SIDES[cell.side][0]}"


def _note(finding: Finding, full: bool, *, beside: bool = True, work: bool = False) -> str:
    """Return how the exact figure is computed, further measures, how far off the printed figure is, and why.

    Unless `full`, a figure with the verdict `exact` and no calculation gets no description of what was measured.
    """
    with_method = full or finding.work or finding.verdict is not Verdict.EXACT
    parts = [
        f"on the slide {finding.printed}" if work and finding.claim.work else "",
        finding.how if with_method else "",
        finding.beside_text if beside else "",
        finding.remark,
    ]
    return "; ".join(part for part in parts if part)
