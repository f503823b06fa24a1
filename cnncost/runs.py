"""Marks on a Graph: that it was recorded on real data, that forward failed, which nodes torch runs as one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cnncost.errors import GraphError


class RealRun(NamedTuple):
    """Marks a Graph recorded on real data, and its parts that depend on the data.

    Attributes:
        inputs: the source of the data, in words.
        nodes: indices of the nodes with data-dependent sizes (results of `nonzero`, boxes that NMS returns).
        reads: how often forward read a value that depends on the inputs; later ops may depend on such a value.
        first_read: path of the module in which the first such read happened.
        chance: whether random numbers decided which ops ran.
    """

    inputs: str
    nodes: tuple[int, ...] = ()
    reads: int = 0
    first_read: str = ""
    chance: bool = False


class Failure(NamedTuple):
    """Marks a Graph that ends early because forward failed.

    Attributes:
        call: index of the innermost module call that failed.
        calls: indices of all calls that did not finish, including that one.
    """

    call: int
    calls: tuple[int, ...]


class FusedNodes(NamedTuple):
    """Consecutive nodes that torch runs as one kernel, which holds tensors of its own, if nothing needs gradients.

    Attributes:
        first, last: indices of the first and the last node.
        kernel: `attention` or `layer`: an encoder's attention or a whole encoder layer.
        sizes: the sizes on which the kernel's memory depends, by name (`cnncost.ops.encoder_memory`).
    """

    first: int
    last: int
    kernel: str
    sizes: tuple[tuple[str, int | None], ...]


def check_fused(fused: Sequence[FusedNodes], nodes: int) -> None:
    """Raise GraphError unless the groups are in order, don't overlap, and lie within a Graph of `nodes` nodes."""
    end = -1
    for first, last, kernel, _ in fused:
        if not end < first <= last < nodes:
            raise GraphError(f"fused nodes {first} to {last} ({kernel}): expected disjoint groups in order, within "
                             f"{nodes} nodes")  # fmt: skip
        end = last
