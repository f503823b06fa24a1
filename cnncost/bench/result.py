"""Measurements of a network, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from cnncost.bench.timing import Timing

Status: TypeAlias = Literal["measured", "out of memory", "not tried", "failed"]


Place: TypeAlias = tuple[str, int]
"""A module call: the module's path, and the number of the call from 1.

It is no label such as `a#2`, because another module may have that as its path.
"""


class Case(NamedTuple):
    """Settings of a run.

    Attributes:
        batch: batch size; None: that of the given inputs.
        dtype: number format of floating-point parameters and inputs; `tf32` is float32 with products in TF32.
        training: whether to run forward and backward in train mode, instead of forward alone in eval mode.
        compiled: whether to compile the network with `torch.compile`.
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
        timing: end-to-end time; None unless measured.
        layers: median seconds of each module call, excluding its children; empty if compiled or not measured.
        instrumented: median seconds of the runs in which the layers were timed; None if they were not.
        peak_memory: bytes alive at the peak, weights and inputs included; None if unknown.
        faults: page faults per run; None unless measured.
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
        """Slowdown caused by timing the layers, as a fraction of the median without it; None if unknown."""
        if self.timing is None or self.instrumented is None:
            return None
        return self.instrumented / self.timing.median - 1
