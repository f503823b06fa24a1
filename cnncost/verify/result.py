"""Verification results as plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from cnncost.graph import Shape

Unit: TypeAlias = Literal["MAC", "FLOP"]


class Explanation(NamedTuple):
    """cnncost's and a peer's counts for ops that the peer treats alike.

    Attributes:
        op: the op kind, or the peer's name for an op that only the peer sees whole.
        times: how often such ops ran.
        ours, theirs: cnncost's count and the peer's predicted count, in the peer's unit; over all rows they add up to
            the totals.
        why: the peer's rule, which explains the difference if there is one.
    """

    op: str
    times: int
    ours: int
    theirs: int
    why: str

    @property
    def difference(self) -> int:
        """By how much the peer's predicted count exceeds cnncost's; negative if it is smaller."""
        return self.theirs - self.ours


class Unexplained(NamedTuple):
    """By how much a peer's count for one of its ops exceeds the prediction; negative if it is smaller."""

    op: str
    amount: int


@dataclass(frozen=True, slots=True)
class PeerCount:
    """A model's count by another tool.

    Attributes:
        peer, version: the tool.
        unit: what the peer counts: MACs or FLOPs.
        run: how the peer ran the model, in words.
        total: the peer's count; None if it failed.
        by_op: the peer's count, by its own op names.
        unsupported: how often each op ran for which the peer has no formula.
        explanations: each kind of op with both counts, largest first.
        unexplained: differences that the explanations don't cover; empty if there are none.
        seconds: duration of the peer's run, without imports.
        failure: why there is no count; empty if there is one.
    """

    peer: str
    version: str
    unit: Unit
    run: str
    total: int | None = None
    by_op: dict[str, int] = field(default_factory=dict)
    unsupported: dict[str, int] = field(default_factory=dict)
    explanations: tuple[Explanation, ...] = ()
    unexplained: tuple[Unexplained, ...] = ()
    seconds: float = 0.0
    failure: str = ""

    def __repr__(self) -> str:
        result = self.failure[:120] if self.total is None else f"{self.total:,} {self.unit}s"
        return f"<PeerCount of {self.peer} {self.version}: {result}>"

    @property
    def ours(self) -> int:
        """cnncost's count in this peer's unit."""
        return sum(row.ours for row in self.explanations)

    @property
    def predicted(self) -> int:
        """The peer's count as predicted by its rules; `total` minus this is unexplained."""
        return sum(row.theirs for row in self.explanations)

    @property
    def difference(self) -> int:
        """The peer's predicted count minus cnncost's."""
        return sum(row.difference for row in self.explanations)


@dataclass(frozen=True, slots=True)
class Verification:
    """cnncost's count of a model next to those of its peers.

    Attributes:
        model: the model's name.
        inputs: shapes and dtypes of the inputs.
        macs, flops: cnncost's own counts of what the peers run: the model in eval mode, without torch's fused paths.
        unknown: how often each op ran for which cnncost has no rule; if there are any, cnncost's counts are lower
            bounds.
        seconds: time that cnncost took for the model as given.
        peers: the peers' counts.
        notes: further remarks.
    """

    model: str
    inputs: tuple[tuple[Shape, str], ...]
    macs: int
    flops: int
    unknown: dict[str, int]
    seconds: float
    peers: tuple[PeerCount, ...]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        verdict = "explained" if self.explained else "not explained"
        return f"<Verification of {self.model}: {self.macs:,} MACs, {self.flops:,} FLOPs, {verdict}>"

    @property
    def counted(self) -> tuple[PeerCount, ...]:
        """The peers that counted the model."""
        return tuple(peer for peer in self.peers if peer.total is not None)

    @property
    def explained(self) -> bool:
        """Whether at least one peer counted the model, and all differences from those that did are explained."""
        return bool(self.counted) and not any(peer.unexplained for peer in self.counted)
