"""The peak with what kernels take and give back while they run: an estimate, beside the exact one and never in it."""

from __future__ import annotations

from typing import NamedTuple

from cnncost.graph import Graph, Phase
from cnncost.ops.workspace import Kernels, workspace_of


class RawPeak(NamedTuple):
    """The moment at which most bytes are out, workspaces included: as an allocator sees it.

    Attributes:
        nbytes: all of them.
        workspace: what of them is the running kernel's own.
        node, op, path, phase: where it is; the index None if there are no nodes.
    """

    nbytes: int
    workspace: int
    node: int | None
    op: str
    path: str
    phase: Phase


def workspaces(graph: Graph, timeline: tuple[int, ...], kernels: Kernels | int) -> RawPeak:
    """Estimate the peak with workspaces.

    Args:
        graph: of a forward, or of a training step.
        timeline: bytes of tensors that are alive while each node runs, as the pass `memory` finds them.
        kernels: a CPU's; or bytes that a library of a GPU holds all the time.
    """
    if not timeline:
        return RawPeak(0, 0, None, "", "", "forward")
    if isinstance(kernels, int):
        raw = [alive + kernels for alive in timeline]
    else:
        by_spec = {id(spec): workspace_of(spec, kernels) for spec in graph.specs}
        raw = [alive + by_spec[id(node.spec)] for alive, node in zip(timeline, graph.nodes, strict=True)]
    at = max(range(len(raw)), key=raw.__getitem__)
    node = graph.nodes[at]
    return RawPeak(raw[at], raw[at] - timeline[at], at, node.name, graph.call_path(node.call), node.phase)
