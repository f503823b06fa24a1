"""The report as a document: markdown, LaTeX, and the plain tables of HTML. Its tree in text and HTML has more to it."""

from __future__ import annotations

from cnncost.render import document as parts
from cnncost.render.document import Cell, Document, Note, Notes, Row, Table, notes
from cnncost.report import heading
from cnncost.report.columns import By, for_people, share_cell
from cnncost.report.data import ReportData
from cnncost.report.entries import Entry, entries
from cnncost.report.ranking import Ranking


def document(report: ReportData, by: By = "layer", depth: int | None = None, asked: Ranking | None = None) -> Document:
    """Convention, table with a total, notes, unknown ops.

    Raises:
        CnncostError: no such `by`, or no such ranking of its rows.
    """
    rows, legend = entries(report, by, depth, asked)
    whole = "a module's row is the sum of the rows of the modules in it, and of what it runs itself"
    first, *rest = heading.unknown(report) or [""]
    return Document(
        "summarize",
        heading.title(report),
        parts=(
            notes(heading.inputs(report), heading.CONVENTION, listed=False),
            table(report, by, rows),
            notes(*remarks(report), *legend, whole if by == "module" else ""),
            Notes((Note(first, "warning"),), listed=False),
            notes(*rest),
        ),
    )


def remarks(report: ReportData) -> list[str]:
    """What is said under a table; some may be empty."""
    return [
        heading.held(report),
        heading.computed(report),
        heading.training(report),
        heading.masked(report),
        heading.reads(report),
        heading.biggest(report),
    ]


def table(report: ReportData, by: By, rows: list[Entry]) -> Table:
    """The columns for people, and each row's share of all MACs."""
    shown = for_people(report, by)
    columns = (
        parts.Column(by, by, "code"),
        *(parts.Column(each.name, each.heading, each.look, meaning=each.meaning) for each in shown),
        parts.Column("share", "share of MACs", "share"),
    )

    def row(entry: Entry) -> Row:
        cells = (Cell(entry.full, tail=entry.full_tail), *(column.cell(entry.row) for column in shown))
        total = entry.style == "total"
        return Row((*cells, share_cell(entry.row, report)), "total" if total else "row", "" if total else entry.style)

    return Table(columns, tuple(map(row, rows)), shown="people")
