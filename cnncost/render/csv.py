"""A document as CSV: the rows of its first data table, with exact numbers and no totals."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import Any

from cnncost.render.document import DATA, Document
from cnncost.render.values import csv_cell


def to_csv(document: Document) -> str:
    """Return a line of column names, then a line for each row.

    Raises:
        ValueError: the document has no table of data.
    """
    if not document.tables(DATA):
        raise ValueError(f"{document.command}: there is no table to write as CSV")
    table = document.tables(DATA)[0]
    columns = table.shown_in(DATA)
    results = (row for row in table.rows if row.role == "row")
    cells = ([csv_cell(row.cell(i).value, column.kind) for i, column in columns] for row in results)
    return csv_text([column.name for _, column in columns], cells)


def csv_text(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return CSV text; lines end in a newline without carriage return on every system."""
    out = _Lines()
    writer = csv.writer(out, lineterminator="\r\n")  # so that it quotes both characters
    writer.writerow(names)
    writer.writerows(rows)
    return "".join(out)


class _Lines(list[str]):
    """Lines of CSV, which end in a newline alone."""

    def write(self, line: str) -> None:
        """Add a line that ends in both characters."""
        self.append(line[:-2] + "\n")
