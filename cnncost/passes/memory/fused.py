"""Memory of nodes that torch runs as one kernel: their temporaries are replaced by what the kernel holds."""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter

from cnncost.graph import Graph, Storage
from cnncost.ops.encoder_memory import fused_moments

_FIRST = attrgetter("first")


def without_fused(graph: Graph, sizes: list[int]) -> list[int]:
    """Return the storages' sizes, with 0 for those that would only exist if a kernel's nodes ran one by one."""
    if not graph.fused:
        return sizes
    return [0 if _is_inside(graph, storage) else size for storage, size in zip(graph.storages, sizes, strict=True)]


def fused_scratch(graph: Graph) -> dict[int, int]:
    """Return, by node index, the bytes that a kernel holds there, without the results that it has written so far.

    Results that outlive the kernel are counted as storages.
    """
    if not graph.fused:
        return {}
    lasting: dict[int, int] = {}
    for storage in graph.storages:
        if storage.born is not None and not _is_inside(graph, storage):
            lasting[storage.born] = lasting.get(storage.born, 0) + storage.nbytes
    found: dict[int, int] = {}
    for group in graph.fused:
        nodes, results = range(group.first, group.last + 1), 0
        for node, held in zip(nodes, _spread(fused_moments(group), len(nodes)), strict=True):
            results += lasting.get(node, 0)
            found[node] = max(held - results, 0)
    return found


def _spread(moments: tuple[int, ...], count: int) -> list[int]:
    """Assign the bytes at a kernel's successive moments to `count` nodes, in order.

    Each moment gets at least one node, so the peak is preserved, and the bytes at each node are one polynomial in the
    sizes, as laws require, not a maximum of several. If there are too few nodes, each gets the maximum.
    """
    if count < len(moments):
        return [max(moments)] * count
    return [moments[i * len(moments) // count] for i in range(count)]


def _is_inside(graph: Graph, storage: Storage) -> bool:
    """True if a storage is created and freed by nodes that run as one kernel."""
    if storage.born is None or storage.died is None or storage.use != "activation":
        return False
    # the last group that begins at or before `born`; without one, the index -1 gives a group that begins after it
    group = graph.fused[bisect_right(graph.fused, storage.born, key=_FIRST) - 1]
    return group.first <= storage.born and storage.died <= group.last
