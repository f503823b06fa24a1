"""Which module owns each parameter and buffer of a Graph, so that columns of them add up to the total."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cnncost.graph import Graph, Owned


class Holding(NamedTuple):
    """The parameters and buffers that a module owns, also those that no op reads.

    Attributes:
        scope: index of the module among the Graph's scopes.
        parameters, buffers: their names and values; `graph.values[each.value].type` is shape and dtype.
    """

    scope: int
    parameters: list[Owned]
    buffers: list[Owned]


def holdings(graph: Graph) -> Iterator[Holding]:
    """Yield what each module owns, for all modules that have parameters or buffers, called or not.

    A tensor that several modules have (tied weights), or one under several names, is in the first list alone.
    """
    counted = set[int]()
    for index, (_, _, parameters, buffers, _) in enumerate(graph.scopes):  # unpacking is faster than attribute access
        if parameters or buffers:
            yield Holding(index, _new(parameters, counted), _new(buffers, counted))


def _new(tensors: tuple[Owned, ...], counted: set[int]) -> list[Owned]:
    """Return the tensors that are not counted yet, and count them."""
    new = []
    for each in tensors:
        if each[1] not in counted:
            counted.add(each[1])
            new.append(each)
    return new
