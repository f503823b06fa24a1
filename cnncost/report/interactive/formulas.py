"""Encodes the ops that each row's module runs itself, with their formulas; equal ops are encoded once."""

from __future__ import annotations

from collections.abc import Sequence

from cnncost.graph import Graph, Node
from cnncost.ops import cost_of, rule_doc
from cnncost.report.formula import formulas
from cnncost.report.interactive.encoding import Json, number
from cnncost.report.interactive.tables import TreeItem
from cnncost.report.signatures import Signatures


def encode(graph: Graph, tree: Sequence[TreeItem]) -> Json:
    """Return the distinct `ops` with their formulas, the `runs` of each row, and the `rules` of the kinds.

    `runs` has, by row, a list of [index of the op, how often it ran]; `rules` has, by kind, the rule's formula.
    """
    signatures = Signatures(graph)
    by_path: dict[str, dict[tuple[object, str], list[int]]] = {}
    for index, node in enumerate(graph.nodes):
        path = graph.scopes[graph.calls[node.call].scope].path
        by_path.setdefault(path, {}).setdefault((node.spec, node.name), []).append(index)
    index_of: dict[tuple[object, str, str], int] = {}
    ops: list[Json] = []
    runs: dict[int, list[list[int]]] = {}
    for row, (item, _) in enumerate(tree):
        if not item.own and item.children:  # the ops that a parent runs itself are in its `(own)` row
            continue
        for (spec, name), indices in by_path.get(item.paths[0], {}).items():
            node = graph.nodes[indices[0]]
            signature = signatures.of(node, item.paths[0])
            op = index_of.setdefault((spec, name, signature), len(ops))
            if op == len(ops):  # seen for the first time
                ops.append(_op(node, signature))
            runs.setdefault(row, []).append([op, len(indices)])
    kinds = dict.fromkeys(op["kind"] for op in ops)
    return {"ops": ops, "runs": runs, "rules": {kind: doc for kind in kinds if (doc := rule_doc(kind))}}


def _op(node: Node, signature: str) -> Json:
    """Return an op's name, kind, tensors, formula and numbers; `known` is false if no rule counts it."""
    cost = cost_of(node.spec)
    data: Json = {"name": node.name, "kind": node.spec.kind, "signature": signature, "known": cost is not None}
    if cost is None:
        return data
    return data | {
        "formula": [*formulas(cost)] if cost.terms else [],
        "macs": number(cost.macs), "flops": number(cost.flops),
        "read": number(cost.read), "written": number(cost.written),
    }  # fmt: skip
