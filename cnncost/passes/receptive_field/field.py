"""Exact fields: the positions that each element of a tensor sees along one axis of one of the model's inputs.

A tensor's axes are products of factors: flattening an H×W map gives an axis with the two factors H and W, so that a
view can recover H and W. Along a factor, positions that see the same input positions form a class, so a grid of cells
over the classes of all factors says what each element sees.

There are two grids: `exact`, clipped to the input; and that of `periodic`, a pattern that holds far from any border, on
an input of any size. The pattern repeats along one factor, the growing factor, whose size grows with the input's: if
the input's axis is split into factors, it is the outermost (slowest-varying) one.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import NamedTuple, TypeAlias

from cnncost.graph import Shape
from cnncost.passes.receptive_field.cells import Cells


class Extent(Enum):
    """A size, jump or start that is not a number."""

    GLOBAL = "global"
    """The whole input, whatever its size."""
    UNKNOWN = "unknown"
    """An op could not be followed, or there is no single number."""

    def __str__(self) -> str:
        return self.value

    __repr__ = __str__


GLOBAL, UNKNOWN = Extent.GLOBAL, Extent.UNKNOWN


class PeriodicPattern(NamedTuple):
    """Position i of the growing factor sees the positions that position i - period sees, moved by `shift`.

    `cells` is a grid over the factors, `period` long along the growing factor. Without a growing factor, period is 1
    and shift is 0.
    """

    period: int
    shift: int
    cells: Cells


class Broken(NamedTuple):
    """No periodic pattern; `reason` says why."""

    reason: str


Periodic: TypeAlias = "PeriodicPattern | Broken | Extent"


class AxisFactor(NamedTuple):
    """A factor of an axis.

    Attributes:
        size: number of positions.
        classes: number of classes of positions that see the same; 1 if all see the same.
        table: class by position; None: position i has class i, or class 0 if there is only one class.
        grows: whether it is the growing factor, whose size grows with the input's.
    """

    size: int
    classes: int = 1
    table: tuple[int, ...] | None = None
    grows: bool = False

    @property
    def lookup(self) -> Sequence[int]:
        """Class by position."""
        if self.table is not None:
            return self.table
        return range(self.size) if self.classes == self.size else (0,) * self.size


class Field:
    """The positions of one input axis that each element of a tensor sees.

    `factors` lists the factors of all axes in order, `counts` the number of factors of each axis. `exact` and
    `periodic` are the two grids.
    """

    __slots__ = ("__dict__", "counts", "exact", "factors", "periodic")  # cached_property needs __dict__

    def __init__(
        self, factors: tuple[AxisFactor, ...], counts: tuple[int, ...], exact: Cells, periodic: Periodic
    ) -> None:
        self.factors = factors
        self.counts = counts
        self.exact = exact
        self.periodic = periodic

    @cached_property
    def dims(self) -> list[int]:
        """Dimensions of the exact grid."""
        return [factor.classes for factor in self.factors]

    @cached_property
    def periodic_dims(self) -> list[int]:
        """Dimensions of the pattern's grid; with period 1 if there is no pattern."""
        period = self.periodic.period if isinstance(self.periodic, PeriodicPattern) else 1
        return [period if factor.grows else factor.classes for factor in self.factors]

    @property
    def shape(self) -> Shape:
        """Shape of the tensor."""
        return tuple(prod(a.size for a in self.factors[part]) for part in self.parts)

    @cached_property
    def parts(self) -> list[slice]:
        """Slice of `factors` for each axis."""
        ends = [0]
        for count in self.counts:
            ends.append(ends[-1] + count)
        return [slice(a, b) for a, b in pairwise(ends)]

    @cached_property
    def growing(self) -> int | None:
        """Index of the growing factor in `factors`; None if no factor grows."""
        return next((i for i, factor in enumerate(self.factors) if factor.grows), None)

    @property
    def full(self) -> bool:
        """True if all elements see the whole input, whatever its size."""
        return self.periodic is GLOBAL and all(cell == self.exact[0] and cell is not None for cell in self.exact)


def source(shape: Shape, axis: int) -> Field:
    """Return the field of an input itself: each element sees its own position along the axis."""
    n = shape[axis]
    factors = tuple(AxisFactor(m, n, None, True) if i == axis else AxisFactor(m) for i, m in enumerate(shape))
    return Field(factors, (1,) * len(shape), [(i, i) for i in range(n)], PeriodicPattern(1, 1, [(0, 0)]))
