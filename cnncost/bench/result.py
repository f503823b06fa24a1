"""What was measured of a network: plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from cnncost.bench.timing import Timing

Status: TypeAlias = Literal["measured", "out of memory", "not tried", "failed"]


class Case(NamedTuple):
    """How a network is run."""

    batch: int | None
    dtype: str = "float32"
    training: bool = False
    compiled: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """A network in one case.

    Attributes:
        model: its name.
        case: how it was run.
        status: `measured`, or why there are no numbers; `note` says more.
        timing: end to end.
        layers: seconds by module call, each call's own share; empty where they can't be taken (compiled).
        instrumented: median seconds of the runs in which the layers were timed.
        peak_memory: bytes alive at the peak, weights and inputs included.
        faults: pages that the system gave to the process, a run.
    """

    model: str
    case: Case
    status: Status = "measured"
    note: str = ""
    timing: Timing | None = None
    layers: dict[str, float] = field(default_factory=dict)
    instrumented: float | None = None
    peak_memory: int | None = None
    faults: float | None = None

    @property
    def overhead(self) -> float | None:
        """By how much timing the layers slows the run: a share of the plain time; None if that is not known."""
        if self.timing is None or self.instrumented is None:
            return None
        return self.instrumented / self.timing.median - 1
