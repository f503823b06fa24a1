"""The sizes at which laws are checked, beside those that they were found from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from random import Random

from cnncost.laws.box import around, corners, diagonals, draw, size_of
from cnncost.laws.law import Span
from cnncost.laws.polynomial import Point
from cnncost.laws.samples import Sampler

_RANDOM, _REAL = 10, 4
"""Random points of a box; fewer of them if each is a run on values."""
_ALL = 16
"""Maximum size of a box in which all points are checked."""


class Checks:
    """Chooses points of boxes. Runs on values take long: they get fewer points, and none of the largest sizes.

    Args:
        sampler: analyzes the points.
        anchor: where the lines cross that the laws were found from.
        least: number of points at which a law must have been checked.
    """

    def __init__(self, sampler: Sampler, anchor: Point, least: int) -> None:
        self.sampler, self.anchor, self.least = sampler, anchor, least

    @property
    def _real(self) -> bool:
        return self.sampler.trace == "real"

    def of_box(self, random: Random, box: Sequence[Span]) -> list[Point]:
        """Return all points of a small box; else its corners, the smallest size of each variable, and random points.

        An axis of one position is often a special case: transposing it is no copy.
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
        """Return points close to the anchor; none if runs of the points that the law was found from take long."""
        slow = self._real or any(self.sampler.is_slow(point) for point in used)
        return [] if slow else around(self.anchor, box)

    def corners(self, box: Sequence[Span]) -> list[Point]:
        """Return the points at which each size is its smallest or its largest."""
        return corners(box)[: 1 if self._real else None]

    def squares(self, box: Sequence[Span]) -> list[Point]:
        """Return points at which two axes of inputs have the same size; batches are not compared."""
        axes = [i for i, v in enumerate(self.sampler.variables) if v.axes and v.name != "batch"]
        return [] if self._real else diagonals(self.anchor, box, axes)
