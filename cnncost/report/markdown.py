"""The report as a markdown table (GitHub's kind) under a heading."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cnncost.render.layout import printable
from cnncost.report import heading
from cnncost.report.columns import By, Column, for_people, share_of_macs
from cnncost.report.data import ReportData
from cnncost.report.entries import Entry, entries

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")


def to_markdown(report: ReportData, *, by: By = "layer", depth: int | None = None) -> str:
    """Heading, convention, table with a total line, notes.

    Raises:
        CnncostError: no such `by`.
    """
    columns = for_people(report, by)
    rows, legend = entries(report, by, depth)
    notes = [
        heading.held(report),
        heading.computed(report),
        heading.training(report),
        heading.masked(report),
        heading.reads(report),
        heading.biggest(report),
        *legend,
    ]
    if by == "module":
        notes.append("a module's row is the sum of the rows of the modules in it, and of what it runs itself")
    blocks = [
        f"# {_escaped(heading.title(report))}",
        f"{heading.inputs(report)}. {heading.CONVENTION}.",
        "\n".join(_table(report, by, columns, rows)),
        _list(notes),
    ]
    first, *rest = heading.unknown(report) or [""]
    if first:
        blocks += [f"**{first}**", _list(rest)]
    return "\n\n".join(blocks) + "\n"


def _table(report: ReportData, by: By, columns: tuple[Column, ...], rows: list[Entry]) -> Iterable[str]:
    yield _row([by, *(column.heading for column in columns), "share of MACs"])
    yield _row([":--", *("--:" if column.right else ":--" for column in columns), "--:"])
    for entry in rows:
        cells = [_cell(column, entry) for column in columns]
        share = share_of_macs(entry.row, report)
        bold = entry.style in {"total", "biggest"}
        name = entry.full if entry.style == "total" else _code(entry.full) + entry.full_tail
        yield _row(f"**{cell}**" if bold and cell else cell for cell in [name, *cells, share])


def _cell(column: Column, entry: Entry) -> str:
    text = column.show(entry.row)
    return text if column.right or column.look == "shapes" else _escaped(text)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _list(texts: Iterable[str]) -> str:
    return "\n".join(f"- {_escaped(text)}" for text in texts if text)


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", printable(text))


def _code(text: str) -> str:
    """A code span; `|` must be escaped because it ends a table cell even inside a code span."""
    fence = "``" if "`" in text else "`"
    return f"{fence}{printable(text)}{fence}".replace("|", "\\|")
