"""Models side by side, as a document."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from cnncost.budget.compare import COLUMNS, Compared, incomparable
from cnncost.budget.join import Joined
from cnncost.render.document import COMPACT, Cell, Column, Document, Narrowing, Note, Notes, Row, Table
from cnncost.render.values import show
from cnncost.units import NOTHING

FRONT = "◆"
NOTE = (
    f"{FRONT} on the Pareto front: no other model is smaller in parameters, MACs or memory "
    "without being larger in one of them"
)
"""Explains the mark, unless the front is that of a joined column and MACs."""


def document(rows: Sequence[Compared], joined: Joined | None = None) -> Document:
    """Return a table with a row for each model; those on the Pareto front are marked.

    Args:
        rows: the models, with the values of the user's columns.
        joined: the column that the front is about, and notes; None without a joined table.
    """
    shapes = [Note(text, "note", without="inputs") for text in inputs(rows)]
    front = why_no_front(rows, joined) or NOTE
    if joined is not None and joined.quality is not None and not why_no_front(rows, joined):
        front = f"{FRONT} on the Pareto front of {joined.quality.words} and MACs: no other model is better in one"
        front += " without being worse in the other"
    warnings = [Note(text, "warning") for text in lower_bounds(rows)]
    warnings += [Note(f"{row.name}: {text}", "warning") for row in rows for text in row.depends_on]
    warnings += [Note(text, "warning") for text in (joined.notes if joined is not None else ())]
    return Document("compare", parts=(_table(rows), Notes((*shapes, Note(front, "note"), *warnings))))


def why_no_front(rows: Sequence[Compared], joined: Joined | None) -> str:
    """Return why no Pareto front is marked; empty if one is."""
    return incomparable(rows) or (joined.no_front if joined is not None else "")


def lower_bounds(rows: Sequence[Compared]) -> list[str]:
    """Return lines on the models with ops without a rule, and with unknown temporaries; none if there are no such."""
    names = ", ".join(row.name for row in rows if row.lower_bound)
    text = "lower bounds, because ops without a rule are missing; the Pareto front uses them as if they were exact"
    peaks = [row for row in rows if row.unseen and row.peak is not None and not row.lower_bound]
    return [f"≥: {names}: {text}"] * bool(names) + [
        f"≥: {row.name}: its memory is a lower bound, because what {', '.join(row.unseen)} allocates is not known"
        for row in peaks
    ]


def _table(rows: Sequence[Compared]) -> Table:
    sizes = tuple(dict.fromkeys(name for row in rows for name, _ in row.sizes))
    joined = tuple(name for name, _ in rows[0].joined) if rows else ()
    columns = (
        Column("name", "model", least=_NAME_WIDTH),
        *(Column(name, shown="data") for name in (("model", *map(_data_name, sizes)) if sizes else ())),
        *(Column(name, name, "figure", empty=NOTHING) for name in joined),
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
        Column("depends_on", kind="texts", shown="data"),
        Column("bar", kind="bar", shown="text", least=12),
    )
    largest = max((row.macs for row in rows), default=0)
    shown = tuple(Row(_cells(row, largest, sizes)) for row in rows)
    return Table(
        columns, shown, "models", optional=("bar", "inputs"),
        narrowing=(COMPACT, Narrowing(least=(("name", 24),)), Narrowing(("ratio",), least=(("name", 12),))),
    )  # fmt: skip


_NAME_WIDTH = 40
"""Width up to which names are shown in full; counts are shortened instead."""


def _data_name(variable: str) -> str:
    """Return the name of the column with a variable's sizes: its own name, unless the comparison has such a column."""
    return f"vary_{variable}" if variable in COLUMNS else variable


def _cells(row: Compared, largest: int, sizes: tuple[str, ...]) -> tuple[Any, ...]:
    mark = "≥" if row.lower_bound else ""
    name = Cell(row.name, tail=f" {FRONT}", style="front") if row.front else row.name
    ratio = None
    if row.params:
        # a lower bound is rounded down, so that it remains one
        ratio = Cell(row.macs // row.params if row.lower_bound else round(row.macs / row.params), mark)
    size_of = dict(row.sizes)
    varied = (row.model, *[size_of.get(variable) for variable in sizes]) if sizes else ()
    return (
        name, *varied, *[value for _, value in row.joined],
        row.inputs, row.batch, row.params, Cell(row.macs, mark), Cell(row.flops, mark),
        Cell(row.memory, "≥" if row.peak is not None and (row.lower_bound or row.unseen) else ""),
        row.weight_bytes, row.peak, ratio, row.lower_bound, row.front, row.depends_on,
        Fraction(row.macs, largest) if largest else None,
    )  # fmt: skip


def inputs(rows: Sequence[Compared]) -> list[str]:
    """Return a line for each distinct input, with the names of the models that have it, unless all do."""
    models: dict[str, list[str]] = {}
    for row in rows:
        models.setdefault(show("tensors", row.inputs), []).append(row.name)
    if len(models) == 1:
        return [f"input {next(iter(models))}"]
    return [f"input {shape}: {', '.join(names)}" for shape, names in models.items()]
