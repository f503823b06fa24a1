"""Receptive fields as a document with a row for each layer, and the field of one unit as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cnncost import units
from cnncost.passes.receptive_field import ReceptiveField
from cnncost.render.document import Cell, Column, Document, Narrowing, Row, Table, notes
from cnncost.render.values import along
from cnncost.report import heading
from cnncost.report.data import ReportData
from cnncost.report.fields import Growth, plain
from cnncost.report.naming import ITSELF

CONVENTION = (
    "field: input positions that a unit sees along each axis, far from borders, over all paths; jump: from one unit to "
    "the next; start: first position that unit 0 sees; seen: the largest part of this input that any unit sees"
)
DEPENDENCE = (
    "as in eval mode: batch norm is elementwise; other norms, attention and linear layers over space see all of it"
)
COLUMNS = (
    Column("path", "layer", "code", empty=ITSELF, least=12),
    Column("class", "class", least=12),
    Column("input", kind="number", shown="data"),
    Column("input_size", kind="shape", shown="data"),
    Column("units", "units", "shape"),
    Column("receptive_field", "field", "along"),
    Column("jump", "jump", "along"),
    Column("start", "start", "along"),
    Column("seen", kind="along", shown="data"),
    Column("sees_all", kind="flag", shown="data"),
    Column("share", "seen", "part", empty="?"),
    Column("bar", kind="bar", shown="text", least=8, gap=1),
    Column("notes", kind="texts", shown="data"),
)


def document(report: ReportData, rows: Sequence[Growth]) -> Document:
    """Return a document with a row for each layer, the convention, and remarks."""
    return Document(
        "rf",
        title(report, rows),
        facts=heading.facts(report),
        parts=(
            notes(CONVENTION, listed=False, apart=False, hang=""),
            table(rows),
            notes(*remarks(rows), DEPENDENCE),
        ),
        width=120,
        least=40,
    )


def table(rows: Sequence[Growth]) -> Table:
    """Return the table of layers; narrow terminals drop the bar first, then the class, then units and start."""
    return Table(
        COLUMNS, tuple(Row(tuple(_cells(row))) for row in rows), "layers",
        narrowing=(Narrowing(("class",)), Narrowing(("units", "start"))), optional=("bar",),
    )  # fmt: skip


def _cells(row: Growth) -> Iterator[Any]:
    field = row.field
    yield from (row.path, row.class_name, field.input, field.input_size, row.units)
    yield from (plain(each) for each in (field.size, field.jump, field.start, field.seen))
    yield from (field.sees_all, Cell(field.share, style="strong" if field.sees_all else ""), field.share, field.notes)


def title(report: ReportData, rows: Sequence[Growth]) -> str:
    """Return the title: the model, and the sizes of the inputs that the fields refer to."""
    sizes = {row.field.input: row.field.input_size for row in rows}
    inputs = ", ".join(f"{units.shape(size)} of input {number}" for number, size in sorted(sizes.items()))
    return f"{report.model}: receptive fields on {inputs}" if inputs else f"{report.model}: nothing sees the input"


def remarks(rows: Sequence[Growth]) -> list[str]:
    """Return lines that say which layer first sees the whole input, and where and why fields become unknown."""
    lines = []
    whole = next((row.name for row in rows if row.field.sees_all), None)
    if whole is not None:
        lines.append(f"first to see all of the input: {whole}")
    first: dict[str, str] = {}
    for row in rows:
        for note in row.field.notes:
            first.setdefault(note, row.name)
    return [*lines, *(f"unknown from {path} on: {note}" for note, path in first.items())]


def unit_text(field: ReceptiveField) -> str:
    """Return lines that describe which input positions one unit sees; the field must have a unit."""
    assert field.unit is not None
    assert field.box is not None
    layer, unit = field.layer or "the model", ", ".join(map(str, field.unit)) or "(the only one)"
    lines = [
        f"{layer}: size {along(plain(field.size))}, jump {along(plain(field.jump))}, start {along(plain(field.start))}",
        f"unit {unit} sees, in input {field.input}, {units.shape(field.input_size)}:",
    ]
    for axis, (span, size) in enumerate(zip(field.box, field.input_size, strict=True)):
        if not isinstance(span, tuple):
            lines.append(f"  axis {axis}: {'nothing' if span is None else span}")
            continue
        length = span[1] - span[0] + 1
        part = units.share(length, size)
        lines.append(f"  axis {axis}: {span[0]} … {span[1]}, {units.counted(length, 'position')} of {size} ({part})")
    return "\n".join([*lines, *(f"  {note}" for note in field.notes)])
