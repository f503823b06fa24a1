"""Table of a split model's communication: what one rank sends and receives, with ring algorithms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cnncost.render.document import Column, Heading, Narrowing, Part, Table, rows
from cnncost.render.values import as_data
from cnncost.report.data import ReportData


def exchanges(report: ReportData) -> Iterator[Part]:
    """Yield a table with a row for each collective, group and phase; nothing if the model is not split."""
    if report.communication:
        yield Heading("communication of this rank (ring algorithm)")
        yield Table(
            (
                Column("run", "run"), Column("phase", "phase"), Column("collective", "collective"),
                Column("group", "over"), Column("ranks", "ranks", "count"), Column("calls", "calls", "count"),
                Column("bytes", "whole", "bytes"), Column("sent", "sent", "bytes"),
                Column("received", "received", "bytes"),
            ),
            rows(report.communication), shown="people", apart=False,
            narrowing=(Narrowing(("received",)), Narrowing(("bytes",))),
        )  # fmt: skip


def facts(report: ReportData) -> dict[str, Any]:
    """Return the table as plain data for JSON; empty if the model is not split."""
    return {"communication": [*map(as_data, report.communication)]} if report.communication else {}
