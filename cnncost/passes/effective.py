"""Multiply-accumulates without a zero factor: pruned and sparse models, ReLU and spiking networks.

Energies are from Horowitz, "Computing's energy problem", ISSCC 2014, figure 1.1.9, at 45 nm and 0.9 V in float32: a
multiplication takes 3.7 pJ and an addition 0.9 pJ, hence a multiply-accumulate 4.6 pJ and an accumulation alone 0.9 pJ.
The energy of memory accesses is not included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cnncost.graph import Graph, Node, OpSpec
from cnncost.ops import cost_of
from cnncost.ops.kinds import has

_SPARSE = "sparse::matmul"
_SAMPLED = "sparse::sampled_matmul"
_REARRANGING = frozenset({"reshape", "permute", "slice", "select", "split", "unbind", "diagonal", "roll"})
"""Moves that add no elements and duplicate none."""
_FIXED_ROLES = frozenset({"parameter", "buffer", "constant"})
"""Roles of values that don't depend on the model's inputs."""


MAC_PJ, AC_PJ = 4.6, 0.9
"""Energy of a multiply-accumulate and of an accumulation, in pJ."""


class Row(NamedTuple):
    """Counts for the ops that a module's calls ran themselves.

    Attributes:
        path: path of the module.
        dense: all multiply-accumulates.
        macs: those without a zero factor.
        accumulates: those among `macs` whose activations are spikes, 0 or 1: a weight is added, nothing is multiplied.
        in_full: those among `macs` from ops whose number of products with a zero factor is unknown. Such an op counts
            in full, or by the factor with fewer nonzero elements. If `in_full` is not 0, `macs` is an upper bound.
    """

    path: str
    dense: int
    macs: int
    accumulates: int
    in_full: int

    @property
    def energy(self) -> float:
        """Energy of the remaining operations, in pJ."""
        return MAC_PJ * (self.macs - self.accumulates) + AC_PJ * self.accumulates


class Effective(NamedTuple):
    """Multiply-accumulates that remain if products with a zero factor are skipped.

    Attributes:
        dense: all multiply-accumulates.
        macs: those that remain; for a sparse layout, those of stored elements.
        by_path: dense and remaining count by module path, as in `rows`.
        accumulates: those among `macs` whose activations are spikes, 0 or 1; only set by `effective_in_run`.
        in_full: as in `Row`.
        rows: one row per module with products; from `effective`, only modules whose products have weights, or whose
            remaining products are not known exactly.
        run_on: the inputs of the run, as `RealRun.inputs` describes them; only set by `effective_in_run`.
        unknown: (module path, op) of each op without a rule. If there are any, `dense` is a lower bound, as their
            products are missing, and so is `macs` unless `in_full` is not 0: then it is neither bound.
    """

    dense: int
    macs: int
    by_path: dict[str, tuple[int, int]]
    accumulates: int = 0
    in_full: int = 0
    rows: tuple[Row, ...] = ()
    run_on: str = ""
    unknown: tuple[tuple[str, str], ...] = ()

    @property
    def energy(self) -> float:
        """Energy of the remaining operations, in pJ: 4.6 per MAC, 0.9 per accumulation (Horowitz 2014, 45 nm)."""
        return MAC_PJ * (self.macs - self.accumulates) + AC_PJ * self.accumulates

    @property
    def dense_energy(self) -> float:
        """Energy of all multiply-accumulates, in pJ."""
        return MAC_PJ * self.dense

    def __repr__(self) -> str:
        mark = {(0, 0): "", (0, 1): "<=", (1, 0): ">=", (1, 1): "~"}[bool(self.unknown), bool(self.in_full)]
        least = ">=" if self.unknown else ""
        return f"<Effective: {mark}{self.macs:,} of {least}{self.dense:,} MACs in {len(self.rows):,} modules>"

    @property
    def density(self) -> float:
        """The fraction of products that remains, from 0 to 1."""
        return self.macs / self.dense if self.dense else 1.0


def effective_in_run(graph: Graph, counted: Mapping[int, tuple[int, bool]]) -> Effective:
    """Return the figures of a run on data, which also leave out products with a zero activation.

    Args:
        graph: the Graph recorded from the run.
        counted: by node index, the number of products without a zero factor, and whether the activations are spikes.
            Products of nodes that are missing here count in full.
    """
    sums: dict[str, list[int]] = {}
    for index, node in enumerate(graph.nodes):
        cost = cost_of(node.spec)
        if cost is None or not cost.macs:
            continue
        products, spikes = counted.get(index, (cost.macs, False))
        row = sums.setdefault(graph.scopes[graph.calls[node.call].scope].path, [0, 0, 0, 0])
        accumulates, in_full = products if spikes else 0, 0 if index in counted else cost.macs
        parts = (_dense(node, cost.macs), products, accumulates, in_full)
        row[:] = [total + part for total, part in zip(row, parts, strict=True)]
    rows = tuple(Row(path, *row) for path, row in sums.items())
    totals = [sum(numbers) for numbers in zip(*sums.values(), strict=True)] or [0, 0, 0, 0]
    by_path = {row.path: (row.dense, row.macs) for row in rows}
    run_on = graph.real.inputs if graph.real is not None else ""
    return Effective(totals[0], totals[1], by_path, totals[2], totals[3], rows, run_on, _unknown(graph))


def effective(graph: Graph, nonzero: Mapping[int, int], stored: Mapping[int, int] | None = None) -> Effective:
    """Count MACs·Z/W for each product with a weight of W elements, Z of them nonzero: each is used equally often.

    A product with a sparse factor counts only its stored elements. If both factors have zeros, how many products remain
    depends on their positions: the smaller count is an upper bound, and marked as one. So is the full count of
    other ops that use weights with zeros: recurrent layers, products with a part of a weight.

    Args:
        graph: the Graph of a forward pass.
        nonzero: number of nonzero elements by value of the Graph; products with other values count in full.
        stored: number of stored elements by value with a sparse layout.
    """
    dense = remaining = 0
    sums: dict[str, list[int]] = {}
    nonzero_elements = _with_rearranged(graph, nonzero)
    stored_elements = _with_rearranged(graph, stored or {}, sparse=True)
    with_zeros = {value for value, count in nonzero_elements.items() if count < graph.values[value].type.numel}
    uncounted = _uncounted(graph, nonzero_elements, with_zeros)
    for node in graph.nodes:
        cost = cost_of(node.spec) if node.phase == "forward" else None
        if cost is None or not cost.macs:
            continue
        full, macs, exact = _dense(node, cost.macs), cost.macs, True
        factors, used_equally = _factors(node)
        weights = [value for value in factors if value in nonzero_elements] if used_equally else []
        if weights:
            macs, exact = _remaining(graph, node, cost.macs, weights, nonzero_elements, stored_elements)
        # the input of a conv or linear is usually an activation, but may be a weight, too
        other = node.inputs[:1] if has(node.spec.kind, "weighted") else ()
        exact = exact and uncounted.isdisjoint((*factors, *other))
        # zeros that `_remaining` doesn't count: in `other`, and in factors whose elements aren't used equally often
        exact = exact and with_zeros.isdisjoint(other if used_equally else factors)
        if weights or not exact:
            row = sums.setdefault(graph.scopes[graph.calls[node.call].scope].path, [0, 0, 0, 0])
            parts = (full, macs, 0, 0 if exact else macs)
            row[:] = [total + part for total, part in zip(row, parts, strict=True)]
        dense, remaining = dense + full, remaining + macs
    rows = tuple(Row(path, *row) for path, row in sums.items())
    by_path = {row.path: (row.dense, row.macs) for row in rows}
    in_full = sum(row.in_full for row in rows)
    return Effective(dense, remaining, by_path, in_full=in_full, rows=rows, unknown=_unknown(graph))


def _unknown(graph: Graph) -> tuple[tuple[str, str], ...]:
    """Return the path and the op for each op of forward that no rule counts, without duplicates."""
    unknown = (node for node in graph.nodes if node.phase == "forward" and cost_of(node.spec) is None)
    return tuple(dict.fromkeys((graph.call_path(node.call), node.name) for node in unknown))


def _remaining(
    graph: Graph, node: Node, macs: int, weights: list[int], nonzero: Mapping[int, int], stored: Mapping[int, int]
) -> tuple[int, bool]:
    """Return how many MACs of a product with these weights remain, and whether the count is exact."""
    full, sparse = _dense(node, macs), node.spec.kind == _SPARSE
    counts = [macs]
    # the count is exact if at most one factor has zeros. A sparse product has at least one such factor: `macs` counts
    # only the elements that this factor stores
    factors_with_zeros = 1 if sparse else 0
    for value in weights:
        elements = graph.values[value].type.numel
        counts.append(full * nonzero[value] // elements)
        if sparse and value in stored:
            # `macs` is proportional to the stored elements if the other factor is dense. Then each stored zero removes
            # equally many products; with two sparse factors, it is unknown how many pairs contain a stored zero
            other_is_dense = full * stored[value] // elements == macs
            has_zeros = not other_is_dense and nonzero[value] < stored[value]
        else:
            has_zeros = nonzero[value] < elements
        factors_with_zeros += 1 if has_zeros else 0
    return min(counts), factors_with_zeros < 2


def _dense(node: Node, macs: int) -> int:
    """Return the MACs that a product would have if a sparse tensor's zeros were stored, too: K for each output."""
    if node.spec.kind not in {_SPARSE, _SAMPLED}:
        return macs
    first = 1 if node.spec.kind == _SAMPLED or node.spec.get("addend") else 0  # index of the first factor
    return node.spec.outputs[0].numel * node.spec.inputs[first].shape[-1]


def _factors(node: Node) -> tuple[tuple[int, ...], bool]:
    """Return the values whose zeros are counted, and whether each of their elements is used equally often.

    They are the weight of a conv or linear, both factors of a matrix product, q, k and v of attention, and all inputs
    of other ops.
    """
    kind = node.spec.kind
    if has(kind, "weighted"):
        return node.inputs[1:2], True
    if has(kind, "product") or kind == _SPARSE:
        first = 1 if node.spec.get("addend") else 0
        return node.inputs[first : first + 2], True
    return node.inputs[:3] if kind == "attention" else node.inputs, False


def _uncounted(graph: Graph, nonzero: Mapping[int, int], with_zeros: set[int]) -> set[int]:
    """Return the values computed from weights and constants alone whose number of zeros is unknown.

    These include results of ops that add zeros to weights without any, such as `tril` and padding.
    """
    uncounted, fixed = set[int](), {value.id for value in graph.values if value.role in _FIXED_ROLES}
    for node in graph.nodes:
        if not fixed.issuperset(node.inputs):
            continue
        fixed.update(node.outputs)
        makes_zeros = _adds_zeros(node.spec) and not nonzero.keys().isdisjoint(node.inputs)
        if makes_zeros or not (with_zeros | uncounted).isdisjoint(node.inputs):
            uncounted.update(value for value in node.outputs if value not in nonzero)
    return uncounted


def _adds_zeros(spec: OpSpec) -> bool:
    """True if a layout op may set elements to zero, or add zeros."""
    if spec.kind != "layout":
        return False
    return bool(spec.get("zeroes")) or any(
        (name == "pad" and arguments[-1] == "constant") or (name == "unfold" and arguments[3])
        for name, *arguments in spec["moves"] or ()
    )


def _rearranges(spec: OpSpec) -> bool:
    """True for a layout op whose result contains only elements of its input, each at most once, unchanged."""
    if spec.kind != "layout" or spec["moves"] is None or spec.get("zeroes"):
        return False
    return all(move[0] in _REARRANGING for move in spec["moves"])


def _with_rearranged(graph: Graph, by_value: Mapping[int, int], sparse: bool = False) -> dict[int, int]:
    """Extend counts to values with the same elements in another order; with `sparse`, only to sparse values."""
    counts = dict(by_value)
    for node in graph.nodes:
        if len(node.inputs) != 1 or node.inputs[0] not in counts or not _rearranges(node.spec):
            continue
        if sparse and node.spec.get("densifies"):
            continue
        source = node.inputs[0]
        for result in node.outputs:  # a part's count is known only if the whole tensor is zero
            if not counts[source] or graph.values[source].type.numel == graph.values[result].type.numel:
                counts[result] = counts[source]
    return counts
