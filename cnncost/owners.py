"""Which module owns each parameter and buffer of a Graph, so that columns of them add up to the total."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cnncost.graph import Graph, TensorType


class OwnedTensor(NamedTuple):
    """A parameter or buffer.

    Attributes:
        scope: index of the module that owns it among the Graph's scopes.
        type: its shape and dtype.
        buffer: whether it is a buffer.
        trainable: whether training changes it; False for buffers.
    """

    scope: int
    type: TensorType
    buffer: bool
    trainable: bool


def owned_tensors(graph: Graph) -> Iterator[OwnedTensor]:
    """Yield each parameter and buffer once, also those that no op reads.

    A tensor that several modules hold (tied weights) belongs to the first of them, whether or not that is called.
    """
    counted = set[int]()
    for index, scope in enumerate(graph.scopes):
        for owned, buffer in ((scope.parameters, False), (scope.buffers, True)):
            for _, value, trainable in owned:
                if value not in counted:
                    counted.add(value)
                    yield OwnedTensor(index, graph.values[value].type, buffer, trainable and not buffer)
