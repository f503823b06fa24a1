"""Kernel sizes and strides: of each module call, those of the windows that its own ops slide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from cnncost.graph import Graph, OpSpec

Sizes: TypeAlias = "tuple[int, ...] | None"


class Windows(NamedTuple):
    """One op's windows: a number per spatial axis.

    None for a kernel of which only the number of elements is recorded, and for the stride of windows at random
    positions.
    """

    kernel: Sizes
    stride: Sizes


def windows(graph: Graph) -> Mapping[int, tuple[Windows, ...]]:
    """By call, the different windows of the ops that it ran itself in forward, in order. Adaptive pools have none."""
    by_spec = {spec: tuple(_of(spec)) for spec in graph.specs}
    by_call: dict[int, dict[Windows, None]] = {}
    for node in graph.nodes:
        if node.phase == "forward" and (own := by_spec[node.spec]):
            by_call.setdefault(node.call, {}).update(dict.fromkeys(own))
    return {call: tuple(own) for call, own in by_call.items()}


def _of(spec: OpSpec) -> Iterator[Windows]:
    """By the attributes of convolutions and pools (`kernel`), folds (`kernel_size`), and the moves of an unfold."""
    kernel = spec.get("kernel", spec.get("kernel_size"))
    if isinstance(kernel, tuple):
        yield Windows(kernel, spec.get("stride"))
    elif type(kernel) is int:
        yield Windows(None, None)
    moves: Any = spec.get("moves", ())
    unfolds = [move for move in moves if move[0] == "unfold"] if isinstance(moves, tuple) else []
    if unfolds:
        yield Windows(tuple([move[2] for move in unfolds]), tuple([move[3] for move in unfolds]))
