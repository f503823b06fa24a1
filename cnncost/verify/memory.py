"""Checks whether there is enough memory for real weights and a real forward."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

from cnncost import units
from cnncost.graph import Graph

_MEMORY = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def needed(graph: Graph) -> int:
    """Return the bytes alive at the peak of a forward: inputs, weights, and op results during their live ranges."""
    end = len(graph.nodes)
    changes = [0] * (end + 2)
    for storage in graph.storages:
        changes[storage.born or 0] += storage.nbytes
        changes[(end if storage.died is None else storage.died) + 1] -= storage.nbytes
    return max(accumulate(changes))


def available() -> int | None:
    """Return the bytes available without swapping and within the cgroup's limit; None if both are unknown."""
    found = [amount for amount in (_of_host(), _of_group()) if amount is not None]
    return min(found, default=None)


def _of_host() -> int | None:
    try:
        lines = _MEMORY.read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _of_group() -> int | None:
    try:
        limit, used = (_GROUP / "memory.max").read_text().strip(), (_GROUP / "memory.current").read_text()
    except OSError:
        return None
    return int(limit) - int(used) if limit.isdigit() else None


def shortage(graph: Graph) -> str:
    """Return a message if there is too little memory for a real forward; empty if there is enough or it is unknown."""
    need, free = needed(graph), available()
    if free is None or need <= free:
        return ""
    return (
        f"needs about {units.data(need)} for real weights and a real forward, but only {units.data(free)} are free; "
        "free memory, use a smaller model or batch, or leave fvcore out with --no-fvcore if it is the one that fails"
    )
