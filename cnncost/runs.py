"""Marks of a Graph: recorded on real data, forward failed, or nodes that torch runs as one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cnncost.errors import GraphError


class RealRun(NamedTuple):
    """Marks a graph recorded from real data and the parts that depend on it.

    Attributes:
        inputs: where the data came from, in words.
        nodes: indices of the nodes with data-dependent sizes (results of `nonzero`, boxes kept by NMS).
        reads: how often forward read a value that depends on the inputs; the ops after that may depend on it.
        first_read: path of the module with the first such read.
        chance: whether random numbers decided which ops ran.
    """

    inputs: str
    nodes: tuple[int, ...] = ()
    reads: int = 0
    first_read: str = ""
    chance: bool = False


class Failure(NamedTuple):
    """Marks a graph that ends early because forward failed.

    Attributes:
        call: the innermost module call that failed.
        calls: all calls that did not finish, including this one.
    """

    call: int
    calls: tuple[int, ...]


class FusedNodes(NamedTuple):
    """Consecutive nodes that torch runs as one kernel where nothing needs gradients; it holds tensors of its own.

    Attributes:
        first, last: indices of the first and the last node.
        kernel: `attention` or `layer`, of an encoder.
        sizes: what the kernel's memory depends on, by name (`cnncost.ops.encoder_memory`).
    """

    first: int
    last: int
    kernel: str
    sizes: tuple[tuple[str, int | None], ...]


def check_fused(fused: Sequence[FusedNodes], nodes: int) -> None:
    """Raise GraphError unless the groups are in order, don't overlap, and lie within `nodes` nodes."""
    end = -1
    for first, last, kernel, _ in fused:
        if not end < first <= last < nodes:
            raise GraphError(f"fused nodes {first} to {last} ({kernel}): expected groups in order, apart, and within "
                             f"{nodes} nodes")  # fmt: skip
        end = last
