"""Tables for a model on several devices: each device's parameters, MACs and peak memory, and copies between devices."""

from __future__ import annotations

from collections.abc import Iterator

from cnncost.render.document import Cell, Column, Heading, Note, Notes, Part, Table, rows
from cnncost.report.columns import AT_LEAST
from cnncost.report.data import ReportData

_COLUMNS = (
    Column("device", "device"),
    Column("params", "params", "count"),
    Column("parameters", "parameters", "bytes", empty="-"),
    Column("macs", "MACs", "count"),
    Column("received", "received", "bytes", empty="-"),
    Column("inference_peak", "peak", "bytes"),
)
_OF_STEP = (
    Column("activations", "activations", "bytes", empty="-"),
    Column("training_macs", "MACs of a step", "count"),
    Column("training_received", "received", "bytes", empty="-"),
    Column("training_peak", "peak", "bytes"),
)
_COUNTED = frozenset({"macs", "training_macs"})
"""Columns that are lower bounds if some ops have no rule."""
_PEAKS = frozenset({"inference_peak", "training_peak"})
"""Columns that are lower bounds if the temporaries of some ops are unknown."""


def tables(report: ReportData) -> Iterator[Part]:
    """Yield tables of the devices in inference and in a training step, and of copies; nothing for a single device."""
    if not report.devices:
        return
    yield Heading("Devices")
    yield _table(report, _COLUMNS)
    if report.devices[0].training_peak is not None:
        yield Heading("Devices in a training step")
        yield _table(report, (_COLUMNS[0], *_OF_STEP))
    causes = ["ops without a rule are missing"] if report.unknown else []
    if unseen := sorted(report.memory.figures.unseen):
        causes.append(f"what {', '.join(unseen)} allocates while it runs is not known")
    yield Notes((Note(f"{AT_LEAST}: a lower bound, as {', and '.join(causes)}", "note", sign=AT_LEAST),))
    columns = (
        Column("run", "run"), Column("phase", "phase"), Column("source", "from"), Column("target", "to"),
        Column("calls", "copies", "count"), Column("nbytes", "bytes", "bytes"),
    )  # fmt: skip
    if report.links:
        yield Heading("Copies between devices")
        yield Table(columns, rows(report.links), shown="people", apart=False)


def facts(report: ReportData) -> dict[str, object]:
    """Return the tables as plain data for JSON; empty for a model on one device."""
    if not report.devices:
        return {}
    return {"devices": [d._asdict() for d in report.devices], "links": [link._asdict() for link in report.links]}


def _table(report: ReportData, columns: tuple[Column, ...]) -> Table:
    unseen = report.memory.figures.unseen
    marks = {**dict.fromkeys(_COUNTED, AT_LEAST if report.unknown else ""),
             **dict.fromkeys(_PEAKS, AT_LEAST if unseen else "")}  # fmt: skip
    device_rows = rows(  # a 0 is displayed as the column's `empty` text if it has one
        [Cell(getattr(each, column.name) or (None if column.empty else 0), marks.get(column.name, ""))
         for column in columns] for each in report.devices
    )  # fmt: skip
    return Table(columns, device_rows, shown="people", apart=False)
