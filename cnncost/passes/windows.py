"""Kernel sizes and strides that a module call's own ops use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from cnncost.graph import Graph, OpSpec

Sizes: TypeAlias = "tuple[int, ...] | None"


class Windows(NamedTuple):
    """The windows of one op: one number per spatial axis.

    Both are None if only the kernel's number of elements was recorded; `stride` is None if positions are random.
    """

    kernel: Sizes
    stride: Sizes


def windows(graph: Graph) -> Mapping[int, tuple[Windows, ...]]:
    """Return the distinct windows of the ops that each call ran itself in forward, in order, by call index.

    Adaptive pools have no such windows.
    """
    by_spec = {spec: tuple(_windows_of(spec)) for spec in graph.specs}
    by_call: dict[int, dict[Windows, None]] = {}
    for node in graph.nodes:
        if node.phase == "forward" and (windows_of_op := by_spec[node.spec]):
            by_call.setdefault(node.call, {}).update(dict.fromkeys(windows_of_op))
    return {call: tuple(windows_of_call) for call, windows_of_call in by_call.items()}


def _windows_of(spec: OpSpec) -> Iterator[Windows]:
    """Yield an op's windows: from the attributes of convolutions, pools and folds, or from the moves of an unfold."""
    kernel = spec.get("kernel", spec.get("kernel_size"))
    if isinstance(kernel, tuple):
        yield Windows(kernel, spec.get("stride"))
    elif type(kernel) is int:
        yield Windows(None, None)
    moves: Any = spec.get("moves", ())
    unfolds = [move for move in moves if move[0] == "unfold"] if isinstance(moves, tuple) else []
    if unfolds:
        yield Windows(tuple([move[2] for move in unfolds]), tuple([move[3] for move in unfolds]))
