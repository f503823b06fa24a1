"""Collectives: messages between the ranks of a group.

They move bytes between devices. No arithmetic is counted: the communication library or the switch does a reduction's
additions. The bytes on each link depend on the algorithm. Assumed here is the ring, which NCCL and gloo use for large
messages: the tensor is cut into as many chunks as there are ranks, and in each step each rank passes a chunk to the
next (Patarasu and Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations"). Trees, which NCCL
uses for small messages, send as much or more.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from cnncost.graph import OpSpec
from cnncost.ops.kinds import kind, rest
from cnncost.ops.registry import Cost, cost

Name = Literal["all_gather", "all_reduce", "all_to_all", "broadcast", "gather", "reduce", "reduce_scatter", "scatter",
               "send", "receive"]  # fmt: skip
"""Names of collectives, and of the two ends of a message between a pair of ranks."""


Algorithm = Literal["ring", "tree"]


class Traffic(NamedTuple):
    """Bytes that one rank sends and receives."""

    sent: int
    received: int


@kind(
    "collective",
    inputs=(rest("x"),),
    outputs=(rest("y"),),
    attributes={"collective": Name, "ranks": int, "rank": int, "group": str, "parts": tuple[tuple[int, int], ...]},
    optional={"root": int, "sends": int, "receives": int, "members": tuple[tuple[int, int, int], ...]},
    reach="elements.collective",
)
def collective(spec: OpSpec) -> Cost:
    """0: communication, whose bytes `traffic` returns.

    Attributes: collective; ranks: size of the group; rank: this rank's index in the group; group: its name; parts: for
    each tensor, the number of elements of the whole (gathered, scattered or reduced) and the bytes per element; root:
    the rank that broadcasts, gathers, scatters or receives the reduction; sends, receives: elements to and from other
    ranks in an uneven all-to-all; members: the group's global ranks, as ranges of start, end and step.
    """
    return cost(spec)


def traffic(spec: OpSpec) -> Traffic:
    """Return the bytes that this rank sends and receives in a collective, with the ring algorithm.

    With W ranks and a whole tensor of N elements, in chunks of c = ⌈N/W⌉: an all-gather and a reduce-scatter send and
    receive (W−1)·c, an all-reduce, which is both, 2·(W−1)·c. A broadcast and a reduction pass all N elements around the
    ring once. Gather and scatter are messages between the root and each other rank; an all-to-all sends each rank its
    part.
    """
    return Traffic(*map(sum, zip(*[_tensor_traffic(spec, n, width) for n, width in spec["parts"]], strict=True)))


def busiest(spec: OpSpec, algorithm: Algorithm = "ring") -> int:
    """Return the bytes that the busiest link of any rank carries in one direction: they determine a collective's time.

    In elements, with W, N and c as in `traffic`: with the ring, (W−1)·c for an all-gather or a reduce-scatter,
    2·(W−1)·c for an all-reduce, N for a broadcast or a reduction; the root's (W−1)·c for a gather or a scatter, this
    rank's for an all-to-all. With the double binary tree, an all-reduce takes 2·N: each rank passes half of the data up
    as a leaf of one tree, and in the other tree half up and half to each of two children (Sanders, Speck, Träff 2009,
    "Two-tree algorithms for full bandwidth broadcast, reduction and scan"). All other collectives use the ring.
    """
    name, ranks = spec["collective"], spec["ranks"]
    sizes = [(-(-elements // ranks) * width, elements * width) for elements, width in spec["parts"]]  # chunk and whole
    if ranks == 1 and name not in ("send", "receive"):
        return 0
    if name == "all_reduce" and algorithm == "tree":
        return sum(2 * whole for _, whole in sizes)
    if name in ("broadcast", "reduce"):
        return sum(whole for _, whole in sizes)
    if name in ("gather", "scatter"):
        return sum((ranks - 1) * chunk for chunk, _ in sizes)
    return max(traffic(spec))


def _tensor_traffic(spec: OpSpec, elements: int, width: int) -> Traffic:
    """Return the traffic of one tensor with `elements` elements of `width` bytes each."""
    name, ranks, rank = spec["collective"], spec["ranks"], spec["rank"]
    whole, other_ranks = elements * width, ranks - 1
    if name in ("send", "receive"):
        return Traffic(whole, 0) if name == "send" else Traffic(0, whole)
    if ranks == 1:
        return Traffic(0, 0)
    chunk = -(-elements // ranks) * width
    if name == "all_to_all":
        if spec.get("sends") is not None:
            return Traffic(spec["sends"] * width, spec["receives"] * width)
        return Traffic(whole - chunk, whole - chunk)
    if name in ("all_gather", "reduce_scatter"):
        return Traffic(other_ranks * chunk, other_ranks * chunk)
    if name == "all_reduce":
        return Traffic(2 * other_ranks * chunk, 2 * other_ranks * chunk)
    root = spec["root"]
    if name in ("gather", "scatter"):
        at_root = Traffic(0, other_ranks * chunk) if name == "gather" else Traffic(other_ranks * chunk, 0)
        return at_root if rank == root else Traffic(chunk, 0) if name == "gather" else Traffic(0, chunk)
    steps = (rank - root) % ranks if name == "broadcast" else (root - rank) % ranks
    # the ring's first rank receives nothing, its last sends nothing; a broadcast begins at the root, a reduction ends
    # there. `steps` are from the root to this rank in a broadcast, from this rank to the root in a reduction
    begins, ends = (steps == 0, steps == other_ranks) if name == "broadcast" else (steps == other_ranks, steps == 0)
    return Traffic(0 if ends else whole, 0 if begins else whole)
