"""Receptive fields of networks whose layers follow one another, by the recurrence of the slides.

For a chain of convolutions and poolings only: branches and what is not a window are not known here.
"""

from __future__ import annotations

from typing import NamedTuple

from cnncost.graph import Graph

__all__ = ["Window", "windows"]


class Window(NamedTuple):
    """What one output sees along an axis: `size` inputs; the next output sees those `jump` inputs further on."""

    size: int
    jump: int


def windows(graph: Graph) -> dict[str, Window]:
    """The window of each convolution and pooling on the image, along the last axis, by module path.

    A window grows by (kernel - 1) steps, and a step is the product of the strides so far. Ops of one call
    (the groups of a sparse convolution) stand side by side and share a kernel, so that the first speaks for all.
    """
    found: dict[str, Window] = {}
    size, jump = 1, 1
    for node in graph.nodes:
        path = graph.call_path(node.call)
        if node.spec.kind not in {"conv", "pool"} or path in found:
            continue
        size += (node.spec["kernel"][-1] - 1) * jump
        jump *= node.spec["stride"][-1]
        found[path] = Window(size, jump)
    return found
