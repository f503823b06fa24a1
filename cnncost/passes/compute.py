"""MACs, FLOPs and bytes: what each op costs, summed by module call and by op kind."""

from __future__ import annotations

from dataclasses import dataclass

from cnncost.graph import Graph, OpSpec
from cnncost.ops import cost_of


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over some nodes: exact ints, bytes in `read` and `written`."""

    ops: int
    macs: int
    flops: int
    read: int
    written: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """An op that has no rule: how often it ran, and the module in which it ran first."""

    op: str
    count: int
    first_path: str


@dataclass(frozen=True, slots=True)
class Compute:
    """The cost of a Graph.

    Attributes:
        total: over all nodes with a rule.
        by_call: what each call ran itself, outside the calls it made; by call index. Calls that ran
            nothing are missing.
        kinds: the kind that weighs most in each call, by call index.
        by_op: by the op's name as the front end saw it, with its kind.
        unknown: ops without a rule, most frequent first.
        unknown_calls: the calls that ran one.
    """

    total: Sums
    by_call: dict[int, Sums]
    kinds: dict[int, str]
    by_op: dict[tuple[str, str], Sums]
    unknown: tuple[Unknown, ...]
    unknown_calls: frozenset[int]


def compute(graph: Graph) -> Compute:
    """Sum the costs of all nodes."""
    costs = {spec: _numbers(spec) for spec in graph.specs}
    by_call: dict[int, list[int]] = {}
    by_op: dict[tuple[str, str], list[int]] = {}
    kinds: dict[int, tuple[tuple[int, int, int], str]] = {}
    unknown: dict[str, list[int]] = {}
    for spec, _, _, call, name, _ in graph.nodes:
        numbers = costs[spec]
        if numbers is None:
            unknown.setdefault(name, []).append(call)
            numbers = (0, 0, 0, 0)
        macs, flops, read, written = numbers
        for key, table in ((call, by_call), ((name, spec.kind), by_op)):
            sums = table.get(key)  # type: ignore[attr-defined]  # the two tables differ in their keys
            if sums is None:
                sums = table[key] = [0, 0, 0, 0, 0]  # type: ignore[index]  # as above
            sums[0] += 1
            sums[1] += macs
            sums[2] += flops
            sums[3] += read
            sums[4] += written
        weight = (macs, flops, written)
        if call not in kinds or weight > kinds[call][0]:
            kinds[call] = (weight, spec.kind)
    calls = {call: Sums(*sums) for call, sums in by_call.items()}
    return Compute(
        total=_total(list(calls.values())),
        by_call=calls,
        kinds={call: kind for call, (_, kind) in kinds.items()},
        by_op={key: Sums(*sums) for key, sums in by_op.items()},
        unknown=_unknown(graph, unknown),
        unknown_calls=frozenset(call for calls_of in unknown.values() for call in calls_of),
    )


def _numbers(spec: OpSpec) -> tuple[int, int, int, int] | None:
    found = cost_of(spec)
    return (found.macs, found.flops, found.read, found.written) if found is not None else None


def _total(sums: list[Sums]) -> Sums:
    return Sums(
        sum(s.ops for s in sums), sum(s.macs for s in sums), sum(s.flops for s in sums),
        sum(s.read for s in sums), sum(s.written for s in sums),
    )  # fmt: skip


def _unknown(graph: Graph, calls: dict[str, list[int]]) -> tuple[Unknown, ...]:
    found = [Unknown(op, len(where), graph.call_path(where[0])) for op, where in calls.items()]
    return tuple(sorted(found, key=lambda u: (-u.count, u.op)))
