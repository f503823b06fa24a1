"""A document as CSV: its first table of data, exact numbers, one row each, no sums."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from cnncost.render.document import DATA, Document
from cnncost.render.values import csv_cell


def to_csv(document: Document) -> str:
    """A line of column names, then the rows.

    Raises:
        ValueError: the document has no table of data.
    """
    if not document.tables(DATA):
        raise ValueError(f"{document.command}: no table for CSV")
    table = document.tables(DATA)[0]
    places = table.places(DATA)
    names = [table.columns[i].name for i in places]
    return written(
        names, ([csv_cell(row.cell(i).value, table.columns[i].kind) for i in places] for row in table.results)
    )


def written(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Lines that end in a newline alone, on every system."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return out.getvalue()
