"""MACs, FLOPs and bytes of each op, summed by module call and by op kind."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeAlias

from cnncost.graph import Graph, Node, OpSpec, Phase
from cnncost.ops import cost_of
from cnncost.ops.registry import contradiction


class Sums(NamedTuple):
    """Sums over several nodes."""

    ops: int
    macs: int
    flops: int
    bytes_read: int
    bytes_written: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """An op that no rule counts: how often it ran, and the module in which it ran first."""

    op: str
    count: int
    first_path: str
    kind: str
    """The kind to register a rule for."""
    reason: str = ""
    """How the op contradicts its kind's declaration, so that no rule applies; empty if it has no rule."""


@dataclass(frozen=True, slots=True)
class Compute:
    """The cost of a Graph.

    Attributes:
        total: sums over all nodes; an unknown op adds 0 to all but the number of ops.
        by_call: sums of the ops that each call ran itself, outside the calls it made; by call index. Calls that
            ran no op themselves are missing.
        kinds: the kind of each call's most expensive op, by FLOPs, then by bytes written; by call index.
        by_op: sums by the op's name, as recorded by the front end, and its kind.
        unknown: ops that no rule counts, most frequent first.
        unknown_calls: indices of the calls that ran an unknown op.
    """

    total: Sums
    by_call: dict[int, Sums]
    kinds: dict[int, str]
    by_op: dict[tuple[str, str], Sums]
    unknown: tuple[Unknown, ...]
    unknown_calls: frozenset[int]


def compute(graph: Graph) -> Compute:
    """Sum the costs of all nodes."""
    numbers: dict[int, _Numbers | None] = {}  # by identity: front ends intern specs, and hashing is slower
    by_call: dict[int, Sums] = {}
    kinds: dict[int, str] = {}
    largest: dict[int, tuple[int, int]] = {}  # FLOPs and written bytes of the largest op of calls that ran several
    uses: dict[tuple[str, int], int] = {}
    unknown: dict[str, list[int]] = {}
    for spec, _, _, call, name, _ in graph.nodes:  # unpacking is faster than attribute access
        key = id(spec)
        if key not in numbers:
            numbers[key] = _numbers(spec)
        cost = numbers[key]
        use = (name, key)
        uses[use] = uses.get(use, 0) + 1
        if cost is None:
            unknown.setdefault(name, []).append(call)
            cost = _FREE
        macs, flops, read, written = cost
        sums = by_call.get(call)
        if sums is None:
            by_call[call] = _sums((1, macs, flops, read, written))
            kinds[call] = spec.kind
            continue
        largest_before = largest.get(call) or (sums[2], sums[4])  # FLOPs and bytes written by its only op so far
        ops, more_macs, more_flops, more_read, more_written = sums
        by_call[call] = _sums((ops + 1, macs + more_macs, flops + more_flops, read + more_read, written + more_written))
        largest[call] = max(largest_before, (flops, written))
        if (flops, written) > largest_before:
            kinds[call] = spec.kind
    return Compute(
        total=_total(by_call.values()),
        by_call=by_call,
        kinds=kinds,
        by_op=_by_op({id(node.spec): node.spec for node in graph.nodes}, numbers, uses),
        unknown=_unknown(graph, unknown, numbers) if unknown else (),
        unknown_calls=frozenset(call for calls_of in unknown.values() for call in calls_of),
    )


def compute_phases(graph: Graph) -> dict[Phase, Compute]:
    """Return the cost of each phase of a training step, in the order in which they begin."""
    parts: dict[Phase, list[Node]] = {}
    for node in graph.nodes:
        parts.setdefault(node.phase, []).append(node)
    return {phase: compute(replace(graph, nodes=tuple(nodes))) for phase, nodes in parts.items()}


# bypasses NamedTuple's slower constructor: called for every node
_sums: Callable[[tuple[int, ...]], Sums] = partial(tuple.__new__, Sums)
_Numbers: TypeAlias = tuple[int, int, int, int]
_FREE: _Numbers = (0, 0, 0, 0)


def _by_op(
    specs: dict[int, OpSpec], numbers: dict[int, _Numbers | None], uses: dict[tuple[str, int], int]
) -> dict[tuple[str, str], Sums]:
    """Return the sums by op name and kind, from how often each spec was used under each name."""
    table: dict[tuple[str, str], list[int]] = {}
    for (name, key), count in uses.items():
        sums = table.setdefault((name, specs[key].kind), [0, 0, 0, 0, 0])
        sums[0] += count
        for i, number in enumerate(numbers[key] or _FREE, 1):
            sums[i] += count * number
    return {key: Sums(*sums) for key, sums in table.items()}


def _numbers(spec: OpSpec) -> _Numbers | None:
    cost = cost_of(spec)
    return (cost.macs, cost.flops, cost.read, cost.written) if cost is not None else None


def _total(calls: Collection[Sums]) -> Sums:
    return Sums(*map(sum, zip(*calls, strict=True))) if calls else Sums(0, 0, 0, 0, 0)


def _unknown(graph: Graph, calls: dict[str, list[int]], numbers: dict[int, _Numbers | None]) -> tuple[Unknown, ...]:
    specs = {node.name: node.spec for node in reversed(graph.nodes) if numbers[id(node.spec)] is None}
    unknown = [
        Unknown(op, len(where), graph.call_path(where[0]), specs[op].kind, contradiction(specs[op]) or "")
        for op, where in calls.items()
    ]
    return tuple(sorted(unknown, key=lambda u: (-u.count, u.op)))
