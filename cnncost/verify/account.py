"""Sums a peer's predicted count and compares it with the actual count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from cnncost.graph import Node
from cnncost.verify.result import Explanation, Unexplained


class Expected(NamedTuple):
    """A peer's predicted count for a node.

    Attributes:
        op: the peer's name for the op under which it counts the node; empty if it doesn't count the node.
        amount: the count in the peer's unit.
        why: the peer's rule in words. Nodes of one kind with the same `why` share a row of the result.
    """

    op: str
    amount: int
    why: str = ""


Rule: TypeAlias = Callable[[Node], Expected]


class Whole(NamedTuple):
    """A composite op that the peer counts as one op, while the Graph has its parts as nodes."""

    op: str
    nodes: tuple[Node, ...]
    expected: Expected


class Account:
    """The predicted count of one peer, op by op.

    Args:
        rule: returns the peer's predicted count for a node.
        ours: returns cnncost's count for a node, in the peer's unit.
    """

    def __init__(self, rule: Rule, ours: Callable[[Node], int]) -> None:
        self._rule = rule
        self._ours = ours
        self._rows: dict[tuple[str, str], list[int]] = {}
        self._predicted: Counter[str] = Counter()

    def add(self, nodes: Iterable[Node], sign: int = 1) -> None:
        """Add nodes to the sums of their kinds; `sign` -1 subtracts them again."""
        for node in nodes:
            expected = self._rule(node)
            self._enter(node.spec.kind, expected, sign, sign * self._ours(node), sign * expected.amount)

    def add_whole(self, whole: Whole) -> None:
        """Replace the nodes of a composite op, which were added before, with the op itself."""
        self.add(whole.nodes, sign=-1)
        ours = sum(self._ours(node) for node in whole.nodes)
        self._enter(whole.op, whole.expected, 1, ours, whole.expected.amount)

    def add_as(self, nodes: Sequence[Node], expected: Expected) -> None:
        """Add nodes of one kind for which only the sum of their counts is predicted."""
        self._enter(nodes[0].spec.kind, expected, len(nodes), sum(map(self._ours, nodes)), expected.amount)

    def _enter(self, kind: str, expected: Expected, times: int, ours: int, theirs: int) -> None:
        row = self._rows.setdefault((kind, expected.why), [0, 0, 0])
        for i, change in enumerate((times, ours, theirs)):
            row[i] += change
        self._predicted[expected.op] += theirs

    def explanations(self) -> tuple[Explanation, ...]:
        """Return the rows with a nonzero count on either side, largest first."""
        rows = [
            Explanation(kind, times, ours, theirs, why)
            for (kind, why), (times, ours, theirs) in self._rows.items()
            if ours or theirs
        ]
        return tuple(sorted(rows, key=lambda row: (-max(row.ours, row.theirs), row.op, row.why)))

    def unexplained(self, by_op: Mapping[str, int]) -> tuple[Unexplained, ...]:
        """Return the peer's ops whose actual count differs from the prediction."""
        differences = {op: by_op.get(op, 0) - self._predicted[op] for op in {*by_op, *self._predicted}}
        return tuple(Unexplained(op, amount) for op, amount in sorted(differences.items()) if amount)
