"""What one rank of a split model sends and receives, as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cnncost.render.document import Column, Heading, Narrower, Part, Table, rows
from cnncost.render.values import as_data
from cnncost.report.data import ReportData


def exchanges(report: ReportData) -> Iterator[Part]:
    """A row for each collective, group and phase; nothing for a model that is not split."""
    if report.communication:
        yield Heading("communication of this rank, by the ring")
        yield Table(
            (
                Column("run", "run"), Column("phase", "phase"), Column("collective", "collective"),
                Column("group", "over"), Column("ranks", "ranks", "count"), Column("calls", "calls", "count"),
                Column("bytes", "whole", "bytes"), Column("sent", "sent", "bytes"),
                Column("received", "received", "bytes"),
            ),
            rows(report.communication), shown="people", apart=False,
            narrower=(Narrower(("received",)), Narrower(("bytes",))),
        )  # fmt: skip


def facts(report: ReportData) -> dict[str, Any]:
    """The same for JSON; empty for a model that is not split."""
    return {"communication": [*map(as_data, report.communication)]} if report.communication else {}
