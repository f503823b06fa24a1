"""What every unit of a layer sees: for each axis of the input, a table by the index of a unit."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import NamedTuple

from cnncost.passes.receptive_field.cells import Cell
from cnncost.passes.receptive_field.field import Extent, Field
from cnncost.passes.receptive_field.units import Units, box

MOST = 65536
"""Rows of a table; a larger one is left out."""


class Boxes(NamedTuple):
    """First and last position along one axis of the input, both included, by the index of a unit.

    Attributes:
        along: the axes of units that it depends on, as indices into the layer's own; empty: all units see the same.
        spans: one for each index along them, the last axis fastest; None where a unit sees nothing.
    """

    along: tuple[int, ...]
    spans: tuple[Cell, ...]


def boxes(field: Field, units: Units) -> Boxes | None:
    """The spans of all units along one axis of the input; None if there are more than `MOST` that may differ.

    `field` is that of the units, as given by `Units.each`.
    """
    along = tuple([
        place for place, axis in enumerate(units.axes)
        if any(factor.classes > 1 for factor in field.factors[field.parts[axis]])
    ])  # fmt: skip
    sizes = [units.sizes[place] for place in along]
    if prod(sizes) > MOST:
        return None
    first = dict.fromkeys(units.axes, 0)
    spans: list[Cell] = []
    for index in product(*map(range, sizes)):
        seen = box(field, first | {units.axes[place]: i for place, i in zip(along, index, strict=True)})
        assert not isinstance(seen, Extent)
        spans.append(seen)
    return Boxes(along, tuple(spans))
