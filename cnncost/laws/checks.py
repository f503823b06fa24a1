"""Chooses the points at which laws are checked, in addition to those from which they were found."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from random import Random

from cnncost.laws.box import around, corners, diagonals, draw, size_of
from cnncost.laws.law import Span
from cnncost.laws.polynomial import Point
from cnncost.laws.samples import Sampler

_RANDOM, _REAL = 10, 4
"""Number of random points per box, and the same for runs on values."""
_ALL = 16
"""Maximum number of points of a box in which all are checked, except for runs on values."""


class Checks:
    """Chooses points of boxes. For runs on values, which take long, it chooses fewer points and only small corners.

    Args:
        sampler: analyzes the points.
        anchor: the point at which the lines cross from which the laws were found.
        least: minimum number of points at which a law must have been checked.
    """

    def __init__(self, sampler: Sampler, anchor: Point, least: int) -> None:
        self.sampler, self.anchor, self.least = sampler, anchor, least

    @property
    def _real(self) -> bool:
        return self.sampler.trace == "real"

    def of_box(self, random: Random, box: Sequence[Span]) -> list[Point]:
        """Return all points of a small box; of a larger one corners, minima of single variables, and random points.

        An axis of size 1 is often a special case: transposing it copies nothing. For runs on values, the minima of
        single variables are left out.
        """
        if size_of(box) <= (self.least + 2 if self._real else _ALL):
            return list(product(*(range(span.low, span.high + 1, span.step) for span in box)))
        ends = self.corners(box)
        if not self._real:
            ends += [(*self.anchor[:i], span.low, *self.anchor[i + 1 :]) for i, span in enumerate(box)]
        return [*ends, *(draw(random, box) for _ in range(_REAL if self._real else _RANDOM))]

    def off_lattice(self, random: Random, box: Sequence[Span], steps: Sequence[int]) -> list[Point]:
        """Return points off the lattice of these steps, which show for which quantities a finer lattice suffices."""
        if all(step == v.step for step, v in zip(steps, self.sampler.variables, strict=True)):
            return []
        finer = [span._replace(step=v.step) for span, v in zip(box, self.sampler.variables, strict=True)]
        return [draw(random, finer) for _ in range(4)]

    def around_anchor(self, box: Sequence[Span], used: Sequence[Point]) -> list[Point]:
        """Return points around the anchor; none if the points from which the law was found took long to run."""
        slow = self._real or any(self.sampler.is_slow(point) for point in used)
        return [] if slow else around(self.anchor, box)

    def corners(self, box: Sequence[Span]) -> list[Point]:
        """Return the points at which each size is its smallest or largest; for runs on values, only the smallest."""
        return corners(box)[: 1 if self._real else None]

    def squares(self, box: Sequence[Span]) -> list[Point]:
        """Return points at which two input axes other than the batch have the same size; none for runs on values."""
        axes = [i for i, v in enumerate(self.sampler.variables) if v.axes and v.name != "batch"]
        return [] if self._real else diagonals(self.anchor, box, axes)
