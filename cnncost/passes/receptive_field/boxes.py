"""Tables of the input positions that each unit of a layer sees, one table per axis of the input."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import NamedTuple

from cnncost.passes.receptive_field.cells import Cell
from cnncost.passes.receptive_field.field import Extent, Field
from cnncost.passes.receptive_field.units import Units, box

MOST = 65536
"""Maximum number of rows of a table; larger tables are left out."""


class Boxes(NamedTuple):
    """First and last input position along one axis, both included, by the index of the unit.

    Attributes:
        along: the axes of units along which positions differ, as indices into `Units.axes`; empty if all see the same.
        spans: one (first, last) for each index along these axes, in row-major order; None for a unit that sees nothing.
    """

    along: tuple[int, ...]
    spans: tuple[Cell, ...]


def boxes(field: Field, units: Units) -> Boxes | None:
    """Return the spans of all units along one axis of the input; None if the table would have more than `MOST` rows.

    `field` is the units' field, from `Units.combined`.
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
