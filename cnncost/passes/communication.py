"""What a rank of a split model sends and receives, by collective and group."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from cnncost.graph import Graph
from cnncost.ops.collective import traffic

KIND = "collective"


class Exchange(NamedTuple):
    """All collectives of one sort in a run.

    Attributes:
        run: `inference`, or `training` for a step.
        phase: `forward`, `backward` or `optimizer`.
        collective: `all_gather`, `reduce_scatter`, …, or `send` and `receive`.
        group: the mesh's axis, or the name of the process group.
        ranks: how many take part.
        calls: how many collectives there are.
        nbytes: bytes of their whole tensors: what an all-gather returns, a reduce-scatter takes.
        sent, received: bytes over this rank's links, by the ring.
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
    """The collectives of a Graph, in the order in which each sort comes first."""
    specs = {id(node.spec): node.spec for node in graph.nodes if node.spec.kind == KIND}
    uses = Counter((id(node.spec), node.phase) for node in graph.nodes if id(node.spec) in specs) if specs else {}
    sums: dict[tuple[str, str, str, int], list[int]] = {}
    for (key, phase), count in uses.items():
        spec = specs[key]
        moved, nbytes = traffic(spec), sum(elements * width for elements, width in spec["parts"])
        row = sums.setdefault((phase, spec["collective"], spec["group"], spec["ranks"]), [0, 0, 0, 0])
        for i, number in enumerate((1, nbytes, *moved)):
            row[i] += count * number
    return tuple([Exchange(run, *sort, *numbers) for sort, numbers in sums.items()])
