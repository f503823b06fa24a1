"""Models side by side, as a document."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from cnncost.budget.compare import Compared, unlike
from cnncost.render.document import COMPACT, Cell, Column, Document, Narrower, Note, Notes, Row, Table
from cnncost.render.values import show
from cnncost.units import NOTHING

FRONT = "◆"
NOTE = f"{FRONT} on the Pareto front: no other one is smaller in one of parameters, MACs and memory and larger in none"


def document(rows: Sequence[Compared]) -> Document:
    """A row for each model, those of the Pareto front marked."""
    inputs = [Note(text, "note", without="inputs") for text in _inputs(rows)]
    return Document("compare", parts=(_table(rows), Notes((*inputs, Note(unlike(rows) or NOTE, "note")))))


def _table(rows: Sequence[Compared]) -> Table:
    columns = (
        Column("name", "model", least=12),
        Column("inputs", "input", "tensors", style="note"),
        Column("batch", kind="number", shown="data"),
        Column("params", "params", "count"),
        Column("macs", "MACs", "count"),
        Column("flops", "FLOPs", "count"),
        Column("memory", "peak memory" if all(row.peak is not None for row in rows) else "weights", "bytes", "people"),
        Column("weight_bytes", kind="bytes", shown="data"),
        Column("peak", kind="bytes", shown="data"),
        Column("ratio", "MACs/param", "compact", "people", NOTHING),
        Column("lower_bound", kind="flag", shown="data"),
        Column("front", kind="flag", shown="data"),
        Column("bar", kind="bar", shown="text", least=12),
    )
    most = max((row.macs for row in rows), default=0)
    shown = tuple(Row(_cells(row, most)) for row in rows)
    return Table(
        columns, shown, "models", narrower=(COMPACT, Narrower(("ratio",))), optional=("bar", "inputs")
    )  # fmt: skip


def _cells(row: Compared, most: int) -> tuple[Any, ...]:
    bound = "≥" if row.lower_bound else ""
    name = Cell(row.name, tail=f" {FRONT}", style="front") if row.front else row.name
    ratio = round(row.macs / row.params) if row.params else None
    return (
        name, row.inputs, row.batch, row.params, Cell(row.macs, bound), Cell(row.flops, bound), row.memory,
        row.weight_bytes, row.peak, ratio, row.lower_bound, row.front, Fraction(row.macs, most) if most else None,
    )  # fmt: skip


def _inputs(rows: Sequence[Compared]) -> list[str]:
    """A line for each input, with the models that it is of, where the table has no room for it."""
    names: dict[str, list[str]] = {}
    for row in rows:
        names.setdefault(show("tensors", row.inputs), []).append(row.name)
    if len(names) == 1:
        return [f"input {next(iter(names))}"]
    return [f"input {shape}: {', '.join(of)}" for shape, of in names.items()]
