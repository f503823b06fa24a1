"""Measurements of a network, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from cnncost.bench.timing import Timing

Status: TypeAlias = Literal["measured", "out of memory", "not tried", "failed"]


Place: TypeAlias = tuple[str, int]
"""A module's path, and which call of it this is, from 1. Its label, `a#2`, may be the path of another module."""


class Case(NamedTuple):
    """Settings of a run.

    Attributes:
        batch: batch size; None: that of the given inputs.
        dtype: number format of floating-point parameters and inputs; `tf32` is float32 with TF32 products.
        training: whether forward and backward are run in training mode, instead of forward alone in eval mode.
        compiled: whether the network is compiled by `torch.compile`.
    """

    batch: int | None
    dtype: str = "float32"
    training: bool = False
    compiled: bool = False


@dataclass(frozen=True, slots=True)
class NetworkTiming:
    """Measurement of a network in one case.

    Attributes:
        model: name of the network.
        case: settings of the run.
        status: `measured`, or why there are no numbers; `note` has details.
        timing: end-to-end time.
        layers: seconds by module call, a path and the number of the call from 1, each call's own share; empty if they
            can't be measured (compiled).
        instrumented: median seconds of the runs in which the layers were timed.
        peak_memory: bytes alive at the peak, weights and inputs included.
        faults: page faults per run.
    """

    model: str
    case: Case
    status: Status = "measured"
    note: str = ""
    timing: Timing | None = None
    layers: dict[Place, float] = field(default_factory=dict)
    instrumented: float | None = None
    peak_memory: int | None = None
    faults: float | None = None

    @property
    def overhead(self) -> float | None:
        """Slowdown from timing the layers, as a fraction of the plain time; None if unknown."""
        if self.timing is None or self.instrumented is None:
            return None
        return self.instrumented / self.timing.median - 1
