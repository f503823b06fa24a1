"""A law that is being fitted: its polynomials, and the box of sizes (a span for each variable) in which it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations, product
from random import Random

from cnncost.laws.law import Span
from cnncost.laws.polynomial import Point, Polynomial

_CONSECUTIVE = 17
"""Consecutive sizes to try from the anchor on, up and down: n of them have all remainders modulo any k ≤ n."""


@dataclass
class Fitted:
    """A law that is being fitted.

    Attributes:
        pieces: the law is the maximum of these polynomials; empty if it was given up.
        domain: the box in which no known point contradicts it.
        checked: points whose direct analysis agrees and that were not used to find it.
        why: the reason why it was given up; empty if it holds.
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
    """Return how far two points are from each other, summed over the variables."""
    return sum(abs(m - n) for m, n in zip(a, b, strict=True))


def draw(random: Random, box: Sequence[Span]) -> Point:
    """Return a random point of a box, with each order of magnitude of a size about equally likely."""
    sizes = []
    for span in box:
        most = (span.high - span.low) // span.step
        steps = random.randint(0, most) >> random.randint(0, max(most.bit_length() - 1, 0))
        sizes.append(span.low + span.step * steps)
    return tuple(sizes)


def around(anchor: Point, box: Sequence[Span]) -> list[Point]:
    """Return points up and down from an anchor, one lattice step at a time in all variables at once, within the box.

    Forward may behave differently at sizes that are divisible by some n; a few random points could miss all of these.
    """
    points = []
    for steps in (*range(1, _CONSECUTIVE), *range(-1, -_CONSECUTIVE, -1)):
        sizes = (start + span.step * steps for start, span in zip(anchor, box, strict=True))
        points.append(tuple(min(max(n, span.low), span.high) for n, span in zip(sizes, box, strict=True)))
    return list(dict.fromkeys(points))


def corners(box: Sequence[Span]) -> list[Point]:
    """Return the points of a box at which each size is its smallest or its largest, the smallest sizes first."""
    return list(dict.fromkeys(product(*((span.low, span.high) for span in box))))


def diagonals(anchor: Point, box: Sequence[Span], axes: Sequence[int]) -> list[Point]:
    """Return points at which two of the variables with these indices have the same size, the others as at the anchor.

    Forward may treat squares in its own way, or images that are wider than high. The sizes are the smallest and the
    largest that both have, and those of the anchor and between.
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
