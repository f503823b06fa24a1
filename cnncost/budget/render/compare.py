"""Models side by side: a table for the terminal, markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Callable, Sequence

from cnncost import units
from cnncost.budget.compare import Compared, unlike
from cnncost.budget.render.check_markdown import text
from cnncost.render.layout import Cell, Field, Line, bar, needed, table

LEAST_WIDTH = 60
FRONT = "◆"
NOTE = f"{FRONT} on the Pareto front: no other one is smaller in one of parameters, MACs and memory and larger in none"
_BAR = 12


def to_lines(rows: Sequence[Compared], width: int) -> list[Line]:
    """Styled lines, none longer than `width`, which is 60 at least. Styles: heading, rule, note, front, bar."""
    width = max(width, LEAST_WIDTH)
    most = max(row.macs for row in rows)
    fields = _fields(rows, units.exact)
    if needed(fields) > width:
        fields = _fields(rows, units.compact)
    if needed(fields) > width:
        fields.pop()  # what follows from the others
    bars = Field("", [Cell(bar(row.macs, most, _BAR), "bar") for row in rows])
    if needed([*fields, bars]) <= width:
        fields.append(bars)
    inputs = Field("input", [Cell(row.inputs, "note") for row in rows])
    if needed([*fields, inputs]) <= width:
        fields.insert(1, inputs)
        notes = []
    else:
        notes = _inputs(rows)
    notes.append(unlike(rows) or NOTE)
    wrapped = [line for text in notes for line in textwrap.wrap(text, width, subsequent_indent="  ")]
    return [*table(fields, width), [], *([(line, "note")] for line in wrapped)]


def _inputs(rows: Sequence[Compared]) -> list[str]:
    """A line for each input, with the models that it is of, where the table has no room for it."""
    names: dict[str, list[str]] = {}
    for row in rows:
        names.setdefault(row.inputs, []).append(row.name)
    if len(names) == 1:
        return [f"input {next(iter(names))}"]
    return [f"input {shape}: {', '.join(of)}" for shape, of in names.items()]


def _fields(rows: Sequence[Compared], write: Callable[[int], str]) -> list[Field]:
    bounds = ["≥" if row.lower_bound else "" for row in rows]
    names = [Cell(row.name, "front" if row.front else "", tail=f" {FRONT}" if row.front else "") for row in rows]
    memory = "peak memory" if all(row.peak is not None for row in rows) else "weights"
    return [
        Field("model", names, least=12),
        Field("params", [Cell(write(row.params)) for row in rows], right=True),
        Field("MACs", [Cell(b + write(row.macs)) for row, b in zip(rows, bounds, strict=True)], right=True),
        Field("FLOPs", [Cell(b + write(row.flops)) for row, b in zip(rows, bounds, strict=True)], right=True),
        Field(memory, [Cell(units.data(row.memory)) for row in rows], right=True),
        Field("MACs/param", [Cell(_ratio(row)) for row in rows], right=True),
    ]  # fmt: skip


def _ratio(row: Compared) -> str:
    return units.compact(round(row.macs / row.params)) if row.params else units.NOTHING


_COLUMNS = ("name", "inputs", "batch", "params", "macs", "flops", "weight_bytes", "peak", "lower_bound", "front")


def to_csv(rows: Sequence[Compared]) -> str:
    """Exact numbers; `peak` is empty where it is not known."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(["" if (value := getattr(row, name)) is None else value for name in _COLUMNS] for row in rows)
    return out.getvalue()


def to_json(rows: Sequence[Compared]) -> str:
    """Exact numbers."""
    data = {"schema": 1, "models": [{name: getattr(row, name) for name in _COLUMNS} for row in rows]}
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def to_markdown(rows: Sequence[Compared]) -> str:
    """A table, the models of the front in bold."""
    lines = ["| model | input | params | MACs | FLOPs | memory |", "|---|---|---:|---:|---:|---:|"]
    for row in rows:
        name, bound = text(row.name), "≥" if row.lower_bound else ""
        figures = units.exact(row.params), bound + units.exact(row.macs), bound + units.exact(row.flops)
        cells = (f"**{name}**" if row.front else name, row.inputs, *figures, units.data(row.memory))
        lines.append(f"| {' | '.join(cells)} |")
    memory = "peak of inference" if all(row.peak is not None for row in rows) else "parameters and buffers"
    told = unlike(rows)
    bold = f"{told[0].upper()}{told[1:]}." if told else f"Bold: {NOTE.removeprefix(FRONT + ' ')}."
    return "\n".join([*lines, "", f"Memory: {memory}. {bold}"]) + "\n"
