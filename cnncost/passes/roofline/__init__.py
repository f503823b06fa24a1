"""Predicted time of each op on a device: the roofline model, op by op.

    intensity = FLOPs / bytes
    time      = launch + max(FLOPs / peak, bytes / bandwidth) + copies + new pages     one op after another (CPU)
    time      = max(launch, FLOPs / peak, bytes / bandwidth)                           launched ahead (GPU)

Bytes are those of the op's rule: inputs read once, outputs written once. An op is *compute-bound* if its FLOPs
take longest, *memory-bound* if its bytes do, *launch-bound* if starting it does. Views are free. With ceilings
from a datasheet, the time is a lower bound; with measured ones, a prediction. The terms after the `max` apply only
to devices that specify them: copies if libraries copy operands into blocks of their own (read and written once more),
new pages if the system allocates them for large tensors each time. A copy between two devices takes the fastest link
within a node, or PCIe from or to a CPU; if no source states the link's bandwidth, its time is unknown. Products of
integers, which have MACs and no FLOPs, take 2·MACs / peak of their number format; without such a peak their compute
time is left out, and the op's time is a lower bound.

Ref: Williams, Waterman, Patterson 2009, Roofline: an insightful visual performance model; Ilic, Pratas, Sousa 2014,
Cache-aware roofline model, for the bandwidth by working set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from cnncost.devices.model import Device
from cnncost.graph import Graph
from cnncost.passes.roofline.op_time import Bound, DistinctOps, OpTime, distinct_ops, op_times
from cnncost.reprs import line

Key = TypeVar("Key")


class Predicted(NamedTuple):
    """The time of several ops: in total, by bound, and with each ceiling alone.

    `seconds` is the sum of `compute`, `memory` and `launch`: the time of the ops bound by each. `compute_alone`,
    `memory_alone` and `launch_alone` sum each ceiling's own time over all ops, whatever bounds them. `unknown` is the
    number of ops whose time, or whose compute time, is unknown and left out; `missing` is the number of those whose
    compute time alone is left out.
    """

    ops: int = 0
    flops: int = 0
    nbytes: int = 0
    seconds: float = 0.0
    compute: float = 0.0
    memory: float = 0.0
    launch: float = 0.0
    compute_alone: float = 0.0
    memory_alone: float = 0.0
    launch_alone: float = 0.0
    unknown: int = 0
    missing: int = 0

    def __repr__(self) -> str:
        mark = ">=" if self.unknown else ""
        return line(self, f"{mark}{self.seconds:.3g} s, bound by {self.bound or 'nothing'}: {self.ops:,} ops")

    @property
    def leaves_out_ops(self) -> bool:
        """Whether the FLOPs and bytes of ops are left out, too."""
        return self.unknown > self.missing

    @property
    def intensity(self) -> float | None:
        """FLOPs per byte, or None if no bytes are moved."""
        return self.flops / self.nbytes if self.nbytes else None

    @property
    def bound(self) -> Bound:
        """The bound under which most of the time is spent; empty if there is none."""
        if not self.seconds:
            return ""
        bounds: dict[Bound, float] = {"compute": self.compute, "memory": self.memory, "launch": self.launch}
        return max(bounds, key=bounds.__getitem__)


@dataclass(frozen=True, slots=True)
class Roofline:
    """The prediction for a Graph.

    Attributes:
        device: the device predicted for.
        dtype: the number format assumed for all floats, or None for the recorded ones.
        total: over all ops whose time is known.
        by_call: by call index, the ops that each call runs itself.
        by_op: by the op's name.
        by_kind: by op kind.
        phases: by phase (forward, backward, optimizer).
        nodes: each node's time; None if it is unknown: no rule counts the op, or no source states a link's bandwidth.
        unknown: number of nodes whose time is unknown; the total leaves them out.
        missing: number of products by number format whose compute time is left out, as the device has no peak for it.
    """

    device: Device
    dtype: str | None
    total: Predicted
    by_call: dict[int, Predicted]
    by_op: dict[str, Predicted]
    by_kind: dict[str, Predicted]
    phases: dict[str, Predicted]
    nodes: tuple[OpTime | None, ...]
    unknown: int
    missing: dict[str, int]

    @property
    def partial(self) -> bool:
        """Whether times are left out, so that the total is a lower bound."""
        return bool(self.total.unknown)

    def __repr__(self) -> str:
        mark = ">=" if self.partial else ""
        return f"<Roofline on {self.device.name}: {mark}{self.total.seconds:.3g} s, {self.total.ops:,} ops>"


def roofline(graph: Graph, device: Device, dtype: str | None = None) -> Roofline:
    """Predict the time of every op of a Graph on a device.

    Args:
        graph: the recorded run.
        device: the device's ceilings.
        dtype: assume all floats to be in this number format (`bfloat16`, `tf32`, …), or None for the recorded ones.

    Raises:
        DeviceError: the device has no ceiling for a number format that is needed.
    """
    distinct = distinct_ops(graph)
    of_op = op_times(graph, distinct, device, dtype)
    times = [of_op[i] for i in distinct.of_node]
    pairs = list(zip(graph.nodes, times, strict=True))
    return Roofline(
        device, dtype, _sum(times),
        _grouped([(node.call, time) for node, time in pairs]), _grouped([(node.name, time) for node, time in pairs]),
        _grouped([(node.spec.kind, time) for node, time in pairs]),
        _grouped([(str(node.phase), time) for node, time in pairs]), tuple(times), times.count(None),
        dict(Counter(time.missing for time in times if time is not None and time.missing)),
    )  # fmt: skip


def _sum(times: Iterable[OpTime | None]) -> Predicted:
    total, unknown, missing = [0, 0, 0, 0.0], 0, 0
    alone = [0.0, 0.0, 0.0]
    bounds: dict[str, float] = {"compute": 0.0, "memory": 0.0, "launch": 0.0, "": 0.0}
    for time in times:
        if time is None:
            unknown += 1
            continue
        missing += bool(time.missing)
        total[0] += 1
        total[1] += time.flops
        total[2] += time.nbytes
        total[3] += time.seconds
        bounds[time.bound] += time.seconds
        alone[0] += time.compute
        alone[1] += time.memory
        alone[2] += time.launch
    ops, flops, nbytes, seconds = total
    return Predicted(
        int(ops), int(flops), int(nbytes), seconds, bounds["compute"], bounds["memory"], bounds["launch"],
        compute_alone=alone[0], memory_alone=alone[1], launch_alone=alone[2],
        unknown=unknown + missing, missing=missing,
    )  # fmt: skip


def _grouped(pairs: list[tuple[Key, OpTime | None]]) -> dict[Key, Predicted]:
    groups: dict[Key, list[OpTime | None]] = {}
    for key, time in pairs:
        groups.setdefault(key, []).append(time)
    return {key: _sum(times) for key, times in groups.items()}


__all__ = ["Bound", "DistinctOps", "OpTime", "Predicted", "Roofline", "distinct_ops", "op_times", "roofline"]
