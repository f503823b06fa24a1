"""Laws that are being fitted, and the points of boxes. A box has a span of sizes for each variable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations, product
from random import Random

from cnncost.laws.law import Span
from cnncost.laws.polynomial import Point, Polynomial

_CONSECUTIVE = 17
"""Consecutive sizes to try, counting up and down from the anchor: n of them have all remainders modulo any k ≤ n."""


@dataclass
class Fitted:
    """A law that is being fitted.

    Attributes:
        pieces: polynomials of which the law is the maximum; empty if the law was given up.
        domain: the box in which no known point contradicts the law.
        checked: points that were not used to find the law and whose direct analysis agrees with it.
        why: why the law was given up; empty if it was not.
    """

    pieces: list[Polynomial]
    domain: list[Span]
    checked: list[Point] = field(default_factory=list)
    why: str = ""

    def value(self, point: Point) -> Fraction:
        """Return the largest piece's value at a point."""
        return max(piece.at(point) for piece in self.pieces)


def size_of(box: Sequence[Span]) -> int:
    """Return the number of points in a box."""
    size = 1
    for span in box:
        size *= (span.high - span.low) // span.step + 1
    return size


def distance(a: Point, b: Point) -> int:
    """Return the distance between two points, summed over the variables."""
    return sum(abs(m - n) for m, n in zip(a, b, strict=True))


def draw(random: Random, box: Sequence[Span]) -> Point:
    """Return a random point of a box. All orders of magnitude of a size are about equally likely."""
    sizes = []
    for span in box:
        most = (span.high - span.low) // span.step
        steps = random.randint(0, most) >> random.randint(0, max(most.bit_length() - 1, 0))
        sizes.append(span.low + span.step * steps)
    return tuple(sizes)


def around(anchor: Point, box: Sequence[Span]) -> list[Point]:
    """Return points up and down from an anchor, each one lattice step further in all variables, clamped to the box.

    Forward may behave differently at sizes that are divisible by some n, and a few random points could miss all these.
    """
    points = []
    for steps in (*range(1, _CONSECUTIVE), *range(-1, -_CONSECUTIVE, -1)):
        sizes = (start + span.step * steps for start, span in zip(anchor, box, strict=True))
        points.append(tuple(min(max(n, span.low), span.high) for n, span in zip(sizes, box, strict=True)))
    return list(dict.fromkeys(points))


def corners(box: Sequence[Span]) -> list[Point]:
    """Return the points of a box at which each size is its smallest or largest, beginning with the smallest sizes."""
    return list(dict.fromkeys(product(*((span.low, span.high) for span in box))))


def diagonals(anchor: Point, box: Sequence[Span], axes: Sequence[int]) -> list[Point]:
    """Return points at which two of the variables `axes` have the same size, and all others the anchor's.

    Forward may treat squares differently, or images that are wider than high. The sizes are the mean of the anchor's
    two, the smallest and largest that both variables can have, and the anchor's two.
    """
    points = []
    for i, j in combinations(axes, 2):
        low, high = max(box[i].low, box[j].low), min(box[i].high, box[j].high)
        sizes = ((anchor[i] + anchor[j]) // 2, low, high, anchor[i], anchor[j])
        points += [
            tuple(size if k in {i, j} else n for k, n in enumerate(anchor))
            for size in sizes
            if box[i].has(size) and box[j].has(size)
        ]
    return list(dict.fromkeys(points))
