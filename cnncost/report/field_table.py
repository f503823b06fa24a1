"""Receptive fields layer by layer: as a table in the terminal, markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import shutil
import textwrap
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from cnncost import units as words
from cnncost.passes.receptive_field import ReceptiveField
from cnncost.report import layout
from cnncost.report.columns import along
from cnncost.report.data import ReportData
from cnncost.report.fields import Growth, plain
from cnncost.report.layout import Cell, Field

CONVENTION = (
    "field: input positions that a unit sees along each axis, far from borders, over all paths; jump: from one unit to "
    "the next; start: first position that unit 0 sees; seen: the part of this input that the unit with most of it sees"
)
DEPENDENCE = "as in eval mode: batch norm sees itself alone; norms over space, attention and linear layers over it all"
_BAR, _LEAST = 8, 40
_NAMES = ("layer", "class", "units", "field", "jump", "start", "seen")


def sees(field: ReceptiveField) -> str:
    """`43 %` of the input, or `all` of it."""
    if field.sees_all:
        return "all"
    share = field.share
    if share is None:
        return "?"
    return words.share(share.numerator, share.denominator)


def cells(row: Growth) -> tuple[str, ...]:
    """The cell texts of a row, in column order."""
    field = row.field
    spans = [along(plain(each)) for each in (field.size, field.jump, field.start)]
    return row.name, row.class_name, words.shape(row.units) if row.units else "", *spans, sees(field)


def about(report: ReportData, rows: Sequence[Growth]) -> str:
    """Title: the model and the inputs that the fields refer to."""
    sizes = {row.field.input: row.field.input_size for row in rows}
    inputs = ", ".join(f"{words.shape(size)} of input {number}" for number, size in sorted(sizes.items()))
    return f"{report.model}: receptive fields on {inputs}" if inputs else f"{report.model}: nothing sees the input"


def notes(rows: Sequence[Growth]) -> list[str]:
    """The first layer that sees the whole input, and the first layer with each reason for an unknown field."""
    found = []
    whole = next((row.name for row in rows if row.field.sees_all), None)
    if whole is not None:
        found.append(f"first to see all of the input: {whole}")
    first: dict[str, str] = {}
    for row in rows:
        for note in row.field.notes:
            first.setdefault(note, row.name)
    return [*found, *(f"unknown from {path} on: {note}" for note, path in first.items())]


def to_text(report: ReportData, rows: Sequence[Growth], width: int | None = None) -> str:
    """A table for the terminal; narrow terminals drop the bar first, then the class."""
    width = max(_LEAST, width or shutil.get_terminal_size().columns)
    columns = list(zip(*(cells(row) for row in rows), strict=True)) or [()] * len(_NAMES)
    fields = []
    for name, texts in zip(_NAMES, columns, strict=True):
        least = 12 if name in {"layer", "class"} else None
        shown = [Cell(layout.printable(text)) for text in texts] or [Cell("")]
        fields.append(Field(name, shown, right=name not in {"layer", "class"}, least=least))
    bars = [Cell(_bar(row.field.share)) for row in rows] or [Cell("")]
    wide = [*fields, Field("", bars, gap=1)]
    for plan in (wide, fields, [f for f in fields if f.heading != "class"],
                 [f for f in fields if f.heading not in {"class", "units", "start"}]):  # fmt: skip
        chosen = plan
        if layout.needed(plan) <= width:
            break
    lines = [layout.plain(line) for line in layout.table(chosen, width)]
    head = [line for text in (about(report, rows), CONVENTION) for line in textwrap.wrap(text, width)]
    tail = [line for text in (*notes(rows), DEPENDENCE) for line in textwrap.wrap(text, width, subsequent_indent="  ")]
    return "\n".join(line.rstrip() for line in (*head, "", *lines, "", *tail))


def _bar(share: Fraction | None) -> str:
    return "" if share is None else layout.bar(share.numerator, share.denominator, _BAR)


def to_markdown(report: ReportData, rows: Sequence[Growth], level: int = 1) -> str:
    """A heading, the table, and notes."""
    lines = [f"{'#' * level} {about(report, rows)}", "", f"{CONVENTION}; {DEPENDENCE}.", ""] if level == 1 else [
        f"{'#' * level} {about(report, rows)}", "",
    ]  # fmt: skip
    lines += [f"| {' | '.join(_NAMES)} |", "| :-- | :-- | --: | --: | --: | --: | --: |"]
    for row in rows:
        path, class_name, *rest = cells(row)
        bold = "**" if row.field.sees_all else ""
        lines.append(f"| `{path}` | {class_name} | {' | '.join([*rest[:-1], f'{bold}{rest[-1]}{bold}'])} |")
    told = notes(rows)
    return "\n".join([*lines, *([""] if told else []), *(f"- {note}" for note in told)]) + "\n"


def record(row: Growth) -> dict[str, Any]:
    """A row as plain data: ints stay ints; fractions, `global` and `unknown` become text."""
    field = row.field
    return {
        "path": row.path, "class": row.class_name, "input": field.input, "input_size": list(field.input_size),
        "units": list(row.units), "receptive_field": list(plain(field.size)), "jump": list(plain(field.jump)),
        "start": list(plain(field.start)), "seen": list(plain(field.seen)), "sees_all": field.sees_all,
        "share": None if field.share is None else float(field.share), "notes": list(field.notes),
    }  # fmt: skip


def to_csv(rows: Sequence[Growth]) -> str:
    """One line per row; values of several axes are joined by x."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = ("path", "class", "input", "units", "receptive_field", "jump", "start", "seen", "sees_all", "share")
    writer.writerow(names)
    for row in rows:
        data = record(row)
        writer.writerow("x".join(map(str, data[n])) if isinstance(data[n], list) else data[n] for n in names)
    return out.getvalue()


def to_json(report: ReportData, rows: Sequence[Growth]) -> str:
    """A JSON object with a list of rows, one per line."""
    lines = ",\n    ".join(json.dumps(record(row), ensure_ascii=False) for row in rows)
    return f'{{\n  "schema": 1,\n  "model": {json.dumps(report.model)},\n  "layers": [\n    {lines}\n  ]\n}}\n'


def unit_text(field: ReceptiveField) -> str:
    """Describe which input positions one unit sees."""
    assert field.unit is not None
    assert field.box is not None
    layer, unit = field.layer or "the model", ", ".join(map(str, field.unit)) or "(the only one)"
    lines = [
        f"{layer}: size {along(plain(field.size))}, jump {along(plain(field.jump))}, start {along(plain(field.start))}",
        f"unit {unit} sees of input {field.input}, {words.shape(field.input_size)}:",
    ]
    for axis, (span, size) in enumerate(zip(field.box, field.input_size, strict=True)):
        if not isinstance(span, tuple):
            lines.append(f"  axis {axis}: {'nothing' if span is None else span}")
            continue
        length = span[1] - span[0] + 1
        part = words.share(length, size)
        lines.append(f"  axis {axis}: {span[0]} … {span[1]}, {words.counted(length, 'position')} of {size} ({part})")
    return "\n".join([*lines, *(f"  {note}" for note in field.notes)])
