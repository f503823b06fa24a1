"""Marks of a Graph: that it was recorded on real data, or that forward failed."""

from __future__ import annotations

from typing import NamedTuple


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
