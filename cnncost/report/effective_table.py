"""Effective MACs (those without a zero factor) as a document: a row for each module, and a total."""

from __future__ import annotations

from cnncost.passes.effective import Effective, Row
from cnncost.render import document as parts
from cnncost.render.document import Cell, Column, Document, Note, Notes, Table, data_table
from cnncost.report.columns import AT_LEAST, AT_MOST, MARKS, NEITHER

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
    partial = {path for path, _ in counts.unknown}
    rows = (_row(row, row.path in partial) for row in counts.rows)
    shown = (*rows, _row(total, bool(counts.unknown))._replace(role="total"))
    run_on = f"run on {counts.run_on}" if counts.run_on else ""
    return Document(
        "effective_macs", "effective MACs", headline="", facts=_facts(counts),
        parts=(
            Table(columns, shown, shown="people", apart=False),
            Notes((Note(run_on), Note(_ENERGIES), *_signs(counts))),
            _data(counts),
        ),
    )  # fmt: skip


def _signs(counts: Effective) -> tuple[Note, ...]:
    """Return notes that explain the signs of numbers, each for a table that has the sign."""
    missing = f"products of ops without a rule are missing ({', '.join(dict.fromkeys(op for _, op in counts.unknown))})"
    counted = "products with a zero may be counted, too"
    return (
        Note(f"{AT_MOST}: at most, because {counted}", sign=AT_MOST),
        Note(f"{AT_LEAST}: at least, because {missing}", sign=AT_LEAST),
        Note(f"{NEITHER}: can be larger or smaller, because {missing}, but {counted}", sign=NEITHER),
    )


def _row(row: Row, partial: bool) -> parts.Row:
    """Return a row. `partial`: whether products of ops without a rule are missing."""
    mark, least = MARKS[partial, bool(row.in_full)], MARKS[partial, False]
    energy = Cell(f"{row.energy:,.1f}", mark)
    return parts.Row((row.path, Cell(row.dense, least), Cell(row.macs, mark), Cell(row.accumulates, least), energy))


def _facts(counts: Effective) -> dict[str, object]:
    totals: dict[str, object] = {
        name: getattr(counts, name) for name in ("dense", "macs", "accumulates", "in_full", "run_on")
    }
    unknown = [{"path": path, "op": op} for path, op in counts.unknown]
    if unknown:
        totals["unknown"] = unknown
    return {**totals, "energy_pj": round(counts.energy, 3), "dense_energy_pj": round(counts.dense_energy, 3)}


def _data(counts: Effective) -> Table:
    return data_table((*Row._fields, "energy_pj"), ((*row, round(row.energy, 3)) for row in counts.rows), "rows")
