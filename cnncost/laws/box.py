"""A law in the making: what it is, and the box of sizes in which it holds so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from random import Random

from cnncost.laws.law import Span
from cnncost.laws.polynomial import Point, Polynomial

_ROW = 17
"""Sizes in a row: of so many one has each remainder modulo up to as many."""


@dataclass
class Fitted:
    """A law in the making.

    Attributes:
        pieces: polynomials whose maximum it is; empty if it was given up.
        domain: where it holds.
        checked: points that agree and were not used to find it.
        why: why it was given up.
    """

    pieces: list[Polynomial]
    domain: list[Span]
    checked: list[Point] = field(default_factory=list)
    why: str = ""

    def value(self, point: Point) -> Fraction:
        """The largest piece."""
        return max(piece.at(point) for piece in self.pieces)


def size_of(box: Sequence[Span]) -> int:
    """How many points a box has."""
    size = 1
    for span in box:
        size *= (span.high - span.low) // span.step + 1
    return size


def draw(random: Random, box: Sequence[Span]) -> Point:
    """A random point, small sizes as likely as large ones."""
    found = []
    for span in box:
        most = (span.high - span.low) // span.step
        steps = random.randint(0, most) >> random.randint(0, max(most.bit_length() - 1, 0))
        found.append(span.low + span.step * steps)
    return tuple(found)


def around(anchor: Point, box: Sequence[Span]) -> list[Point]:
    """Sizes in a row, up and down from an anchor, in all variables at once, each on its lattice and within its span.

    Forward may do another thing at one size in so many, which few random points would meet.
    """
    found = []
    for steps in (*range(1, _ROW), *range(-1, -_ROW, -1)):
        sizes = (at + span.step * steps for at, span in zip(anchor, box, strict=True))
        found.append(tuple(min(max(n, span.low), span.high) for n, span in zip(sizes, box, strict=True)))
    return list(dict.fromkeys(found))
