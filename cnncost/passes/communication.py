"""Bytes that one rank of a split model sends and receives, by collective and process group."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from cnncost.graph import Graph
from cnncost.ops.collective import traffic

KIND = "collective"


class Exchange(NamedTuple):
    """All collectives of a run with the same phase, name, group and number of ranks.

    Attributes:
        run: `inference`, or `training` for a training step.
        phase: `forward`, `backward` or `optimizer`.
        collective: `all_gather`, `reduce_scatter`, …, or `send` and `receive`.
        group: the mesh's axis, or the name of the process group.
        ranks: number of ranks in the group.
        calls: number of collectives.
        nbytes: bytes of their whole tensors, such as the result of an all-gather or the input of a reduce-scatter.
        sent, received: bytes that this rank sends and receives, with the ring algorithm.
    """

    run: str
    phase: str
    collective: str
    group: str
    ranks: int
    calls: int
    nbytes: int
    sent: int
    received: int


def communication(graph: Graph, run: str) -> tuple[Exchange, ...]:
    """Return the Graph's collectives, grouped by phase, name, group and number of ranks, in order of first use."""
    specs = {id(node.spec): node.spec for node in graph.nodes if node.spec.kind == KIND}
    uses = Counter((id(node.spec), node.phase) for node in graph.nodes if id(node.spec) in specs) if specs else {}
    sums: dict[tuple[str, str, str, int], list[int]] = {}
    for (key, phase), count in uses.items():
        spec = specs[key]
        moved, nbytes = traffic(spec), sum(elements * width for elements, width in spec["parts"])
        row = sums.setdefault((phase, spec["collective"], spec["group"], spec["ranks"]), [0, 0, 0, 0])
        for i, number in enumerate((1, nbytes, *moved)):
            row[i] += count * number
    return tuple([Exchange(run, *key, *numbers) for key, numbers in sums.items()])
