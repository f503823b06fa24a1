"""Predicts the time of each row on every built-in device.

A profile is a multiset of distinct ops. Rows that run the same ops equally often have the same profile, whose time is
predicted once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cnncost.devices.model import Device
from cnncost.devices.registry import built_in
from cnncost.errors import CnncostError
from cnncost.graph import Graph
from cnncost.ops import cost_of
from cnncost.passes.roofline import DistinctOps, OpTime, Predicted, distinct_ops, op_times
from cnncost.report.interactive.encoding import Json
from cnncost.report.interactive.tables import TreeItem, parents

_BOUNDS = {"compute": "c", "memory": "m", "launch": "l", "": "-"}
"""Each bound's letter in the page's data; `-` for a profile that takes no time."""


class Profiles:
    """Numbers the distinct profiles of a graph, each a set of (index of a distinct op, how often it runs)."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.distinct: DistinctOps = distinct_ops(graph)
        self._ops_by_path: dict[str, Counter[int]] = {}
        for node, op in zip(graph.nodes, self.distinct.of_node, strict=True):
            path = graph.scopes[graph.calls[node.call].scope].path
            self._ops_by_path.setdefault(path, Counter())[op] += 1
        self._profiles: dict[frozenset[tuple[int, int]], int] = {}

    def of(self, tree: Sequence[TreeItem]) -> list[int]:
        """Return the index of each row's profile; a parent's profile includes the ops of its descendants."""
        counters: list[Counter[int]] = [Counter() for _ in tree]
        for i, (item, _) in enumerate(tree):
            if item.own or not item.children:
                for path in item.paths:
                    counters[i].update(self._ops_by_path.get(path, {}))
        # backwards: a row is complete before it is added to its parent; row 0 has no parent
        for i, above in reversed([*enumerate(parents(level for _, level in tree))][1:]):
            counters[above].update(counters[i])
        return [self._profiles.setdefault(frozenset(each.items()), len(self._profiles)) for each in counters]

    def encode(self) -> tuple[Json, list[Json]]:
        """Return the intensity (FLOP/byte) of each profile, and for each device the profiles' seconds and bounds."""
        profiles = [*self._profiles]
        devices = [self._times_on(device, profiles) for device in built_in().values()]
        return {"intensity": self._intensity_by_profile(profiles)}, devices

    def _intensity_by_profile(self, profiles: Sequence[frozenset[tuple[int, int]]]) -> list[float | None]:
        costs = [cost_of(op.spec) for op in self.distinct.ops]
        intensities = []
        for profile in profiles:
            known = [(cost, n) for op, n in profile if (cost := costs[op]) is not None]
            nbytes = sum(n * (cost.read + cost.written) for cost, n in known)
            intensities.append(sum(n * cost.flops for cost, n in known) / nbytes if nbytes else None)
        return intensities

    def _times_on(self, device: Device, profiles: Sequence[frozenset[tuple[int, int]]]) -> Json:
        data: Json = {
            "name": device.name, "title": device.title, "kind": device.kind, "year": device.year,
            "flops": device.flops, "bandwidth": device.bandwidth, "memory": device.memory, "power": device.power,
            "launch": device.launches, "source": device.source, "caches": [list(level) for level in device.caches],
        }  # fmt: skip
        try:
            times = op_times(self.graph, self.distinct, device)
        except CnncostError as error:
            return data | {"error": str(error)}
        predictions = [_sum(profile, times) for profile in profiles]
        return data | {
            "seconds": [each.seconds for each in predictions],
            "bounds": "".join(_BOUNDS[each.bound] for each in predictions),
            "used": sorted(_formats(times) & device.flops.keys()),
            "partial": [i for i, profile in enumerate(profiles) if any(_is_partial(times[op]) for op, _ in profile)],
        }


def _formats(times: Sequence[OpTime | None]) -> set[str]:
    """Return the number formats in which ops compute; products of integers that have a peak are in int8."""
    known = [time for time in times if time is not None]
    return {time.dtype for time in known if time.peak} | {"int8" for time in known if time.integers}


def _is_partial(time: OpTime | None) -> bool:
    return time is None or bool(time.missing)


def _sum(profile: frozenset[tuple[int, int]], times: Sequence[OpTime | None]) -> Predicted:
    """Sum the times of a profile's ops; ops without a predicted time are left out."""
    seconds = dict.fromkeys(_BOUNDS, 0.0)
    for op, n in sorted(profile):  # a fixed order: the last digits of a sum of floats depend on it
        time = times[op]
        if time is not None:
            seconds[time.bound] += n * time.seconds
    return Predicted(
        seconds=sum(seconds.values()), compute=seconds["compute"], memory=seconds["memory"], launch=seconds["launch"]
    )
