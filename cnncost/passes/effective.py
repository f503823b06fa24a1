"""Multiply-accumulates without a zero: of pruned and sparse models, of ReLU and of spiking networks.

Energy is by Horowitz, "Computing's energy problem", ISSCC 2014, figure 1.1.9, at 45 nm and 0.9 V in float32: a
multiplication 3.7 pJ, an addition 0.9 pJ; so a multiply-accumulate 4.6 pJ, an accumulation alone 0.9 pJ. Memory's is
none of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from cnncost import units
from cnncost.graph import Graph, Node
from cnncost.ops import cost_of

_SPARSE = "sparse::matmul"
_WEIGHTED = frozenset({"conv", "linear", "matmul", _SPARSE})


MAC_PJ, AC_PJ = 4.6, 0.9
"""Energy of a multiply-accumulate and of an accumulation, in pJ."""


class Row(NamedTuple):
    """What the calls of a module ran themselves.

    Attributes:
        path: of the module.
        dense: all multiply-accumulates.
        macs: those left.
        accumulates: those of them whose activations are spikes, 0 or 1: a weight is added, nothing is multiplied.
        in_full: those of them that were counted in full, for nobody looked into their op.
    """

    path: str
    dense: int
    macs: int
    accumulates: int
    in_full: int

    @property
    def energy(self) -> float:
        """Of what is left, in pJ."""
        return MAC_PJ * (self.macs - self.accumulates) + AC_PJ * self.accumulates


class Effective(NamedTuple):
    """What is left.

    Attributes:
    dense: all multiply-accumulates.
    macs: those left if each with a weight of zero is skipped; of a product with a sparse layout, those it stores.
    by_path: for each module with weights, its dense and its effective count.
    accumulates: of `macs` those whose activations are spikes, 0 or 1; with `activations` alone.
    in_full: of `macs` those of ops that could not be looked into; not zero: `macs` is an upper bound.
    rows: a row a module; with `activations` alone.
    run_on: where the activations' values came from.
    """

    dense: int
    macs: int
    by_path: dict[str, tuple[int, int]]
    accumulates: int = 0
    in_full: int = 0
    rows: tuple[Row, ...] = ()
    run_on: str = ""

    @property
    def energy(self) -> float:
        """Of what is left, in pJ: 4.6 a multiply-accumulate, 0.9 an accumulation (Horowitz, ISSCC 2014, 45 nm)."""
        return MAC_PJ * (self.macs - self.accumulates) + AC_PJ * self.accumulates

    @property
    def dense_energy(self) -> float:
        """Of all multiply-accumulates, in pJ."""
        return MAC_PJ * self.dense

    def to_json(self) -> str:
        """Counts, energies in pJ, and the rows, as JSON."""
        energies = {"energy_pj": round(self.energy, 3), "dense_energy_pj": round(self.dense_energy, 3)}
        rows = [{**row._asdict(), "energy_pj": round(row.energy, 3)} for row in self.rows]
        totals = {name: getattr(self, name) for name in ("dense", "macs", "accumulates", "in_full", "run_on")}
        return json.dumps({**totals, **energies, "rows": rows}, indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        """A table: a line a module, and the total."""
        rows = self.rows or tuple(Row(path, *both, 0, 0) for path, both in self.by_path.items())
        total = Row("total", self.dense, self.macs, self.accumulates, self.in_full)
        cells = [("module", "dense MACs", "left", "of it AC", "energy pJ")]
        for row in (*rows, total):
            mark = "≤" if row.in_full else ""
            dense, left, added = map(units.exact, (row.dense, row.macs, row.accumulates))
            cells.append((row.path or "(model)", dense, mark + left, added, f"{mark}{row.energy:,.1f}"))
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in cells
        ]
        notes = ["AC: a weight is added for a spike; 4.6 pJ a MAC, 0.9 pJ an AC (Horowitz, ISSCC 2014: 45 nm, float32)"]
        if self.run_on:
            notes.insert(0, f"run on {self.run_on}")
        if self.in_full:
            notes.append("≤: with ops that are counted in full")
        return "\n".join([*lines, "", *notes])

    @property
    def density(self) -> float:
        """The part that is left, from 0 to 1."""
        return self.macs / self.dense if self.dense else 1.0


def active(graph: Graph, counted: Mapping[int, tuple[int, bool]]) -> Effective:
    """What was counted of a run: by node index the products without a zero, and whether activations are spikes.

    An op with products that was not looked into counts in full.
    """
    sums: dict[str, list[int]] = {}
    for index, node in enumerate(graph.nodes):
        found = cost_of(node.spec)
        if found is None or not found.macs:
            continue
        products, spikes = counted.get(index, (found.macs, False))
        row = sums.setdefault(graph.scopes[graph.calls[node.call].scope].path, [0, 0, 0, 0])
        parts = (found.macs, products, products * spikes, found.macs * (index not in counted))
        row[:] = [a + b for a, b in zip(row, parts, strict=True)]
    rows = tuple(Row(path, *row) for path, row in sums.items())
    dense, macs, accumulates, in_full = (sum(row[i] for row in rows) for i in range(1, 5))  # type: ignore[misc]  # ints
    by_path = {row.path: (row.dense, row.macs) for row in rows}
    run_on = graph.real.inputs if graph.real is not None else ""
    return Effective(dense, macs, by_path, accumulates, in_full, rows, run_on)


def effective(graph: Graph, nonzero: dict[int, int]) -> Effective:
    """MACs·Z/W of each product with a weight of W elements, Z of them not zero: each takes part equally often.

    `nonzero` says for values of the Graph how many elements are not zero; products with others count in full.
    """
    dense = left = 0
    by_path: dict[str, tuple[int, int]] = {}
    known = _spread(graph, nonzero)
    for node in graph.nodes:
        found = cost_of(node.spec) if node.phase == "forward" else None
        macs = found.macs if found is not None else 0
        if not macs:
            continue
        kept, full = macs, _dense(node, macs)
        weight = _weight(node, known)
        if weight is not None:
            kept = full * known[weight] // graph.values[weight].type.numel
            path = graph.scopes[graph.calls[node.call].scope].path
            before = by_path.get(path, (0, 0))
            by_path[path] = (before[0] + full, before[1] + kept)
        dense, left = dense + full, left + kept
    return Effective(dense, left, by_path)


def _dense(node: Node, macs: int) -> int:
    """What the product takes where a sparse factor's zeros are stored, too: K for each output."""
    if node.spec.kind != _SPARSE:
        return macs
    return node.spec.outputs[0].numel * node.spec.inputs[-2].shape[-1]


def _weight(node: Node, known: dict[int, int]) -> int | None:
    if node.spec.kind not in _WEIGHTED:
        return None
    return next((value for value in node.inputs[1:] + node.inputs[:1] if value in known), None)


def _spread(graph: Graph, nonzero: dict[int, int]) -> dict[int, int]:
    """What is known of values, and of those that have the same elements in another layout."""
    known = dict(nonzero)
    for node in graph.nodes:
        if node.spec.kind != "layout" or len(node.inputs) != 1 or node.inputs[0] not in known:
            continue
        source = node.inputs[0]
        for result in node.outputs:  # of a part it is known only if there is nothing in the whole
            if not known[source] or graph.values[source].type.numel == graph.values[result].type.numel:
                known[result] = known[source]
    return known
