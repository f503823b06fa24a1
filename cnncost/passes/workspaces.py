"""The peak including kernel workspaces: an estimate, reported next to the exact peak and never part of it."""

from __future__ import annotations

from typing import NamedTuple

from cnncost.graph import Graph, Phase
from cnncost.ops.workspace import Kernels, workspace_of


class RawPeak(NamedTuple):
    """The moment at which most bytes are allocated, workspaces included: the peak that an allocator reports.

    Attributes:
        nbytes: total bytes.
        workspace: bytes of workspace among them.
        node: index of the node at the peak; None if there are no nodes.
        op, path, phase: its op, the module that it is attributed to, and its phase.
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
        graph: recorded from a forward pass or a training step.
        timeline: bytes of tensors that are alive while each node runs, as computed by the pass `memory`.
        kernels: a CPU's kernels, or the bytes that a GPU library holds during the whole run.
    """
    if not timeline:
        return RawPeak(0, 0, None, "", "", "forward")
    if isinstance(kernels, int):
        raw = [alive + kernels for alive in timeline]
    else:
        by_spec = {id(spec): workspace_of(spec, kernels) for spec in graph.specs}
        raw = [alive + by_spec[id(node.spec)] for alive, node in zip(timeline, graph.nodes, strict=True)]
    peak = max(range(len(raw)), key=raw.__getitem__)
    node = graph.nodes[peak]
    return RawPeak(raw[peak], raw[peak] - timeline[peak], peak, node.name, graph.call_path(node.call), node.phase)
