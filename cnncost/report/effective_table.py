"""Effective MACs (those without a zero factor) as a document: a row for each module, and a total."""

from __future__ import annotations

from cnncost.passes.effective import Effective, Row
from cnncost.render import document as parts
from cnncost.render.document import Cell, Column, Document, Table, data_table, notes

_AT_MOST = "≤"
_ENERGIES = "AC: a weight is added for a spike; 4.6 pJ/MAC, 0.9 pJ/AC (Horowitz, ISSCC 2014: 45 nm, float32)"


def document(counts: Effective) -> Document:
    """Return a document with a table for people; CSV and JSON have the same rows, with energies in pJ."""
    columns = (
        Column("path", "module", empty="(model)", least=16),
        Column("dense", "dense MACs", "count"),
        Column("macs", "left", "count"),
        Column("accumulates", "of which AC", "count"),
        Column("energy", "energy pJ", "figure"),
    )
    total = Row("total", counts.dense, counts.macs, counts.accumulates, counts.in_full)
    shown = (*(_row(row) for row in counts.rows), _row(total)._replace(role="total"))
    bounds = "≤: at most, because products with a zero may be counted, too" if counts.in_full else ""
    run_on = f"run on {counts.run_on}" if counts.run_on else ""
    return Document(
        "effective_macs", "effective MACs", headline="", facts=_facts(counts),
        parts=(
            Table(columns, shown, shown="people", apart=False),
            notes(run_on, _ENERGIES, bounds),
            _data(counts),
        ),
    )  # fmt: skip


def _row(row: Row) -> parts.Row:
    mark = _AT_MOST if row.in_full else ""
    energy = Cell(f"{row.energy:,.1f}", mark)
    return parts.Row((row.path, row.dense, Cell(row.macs, mark), row.accumulates, energy))


def _facts(counts: Effective) -> dict[str, object]:
    totals = {name: getattr(counts, name) for name in ("dense", "macs", "accumulates", "in_full", "run_on")}
    return {**totals, "energy_pj": round(counts.energy, 3), "dense_energy_pj": round(counts.dense_energy, 3)}


def _data(counts: Effective) -> Table:
    return data_table((*Row._fields, "energy_pj"), ((*row, round(row.energy, 3)) for row in counts.rows), "rows")
