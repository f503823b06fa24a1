"""Fits figures by polynomials in the context length at a few lengths, and checks them at others."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from cnncost.decoding.figures import Course

DEGREES = {"macs": 1, "flops": 1, "prefill_macs": 2, "prefill_flops": 2, "cache": 1}
"""Degree of each figure's polynomial: a token attends to all before it, which sums to degree 2 over a prompt."""
_PARTS = (1, 2, 3, 4)
"""Figures are sampled at 1/4, 2/4, 3/4 and 4/4 of the context."""


def fitted_polynomials(sample: Callable[[int], dict[str, int] | None], context: int) -> dict[str, Course]:
    """Return the polynomials by figure; figures for which a check fails are left out.

    Args:
        sample: returns the figures at a context length; None if they are lower bounds, and then the result is empty.
        context: the longest length; if it is less than 4, there are too few shorter ones, and the result is empty.
    """
    lengths = [context * part // _PARTS[-1] for part in _PARTS]
    if lengths[0] < 1:
        return {}
    samples = {}
    for length in lengths:
        if (figures := sample(length)) is None:
            return {}
        samples[length] = figures
    found = {}
    for name, degree in DEGREES.items():
        values = {length: figures[name] for length, figures in samples.items()}
        used = lengths[-1 - degree :]
        checked = tuple(length for length in lengths if length not in used)
        law = Course(_through({at: values[at] for at in used}), lengths[0], context, checked)
        if all(law.value(at) == values[at] for at in checked):
            found[name] = law
    return found


def _through(points: dict[int, int]) -> tuple[Fraction, ...]:
    """Return the coefficients of the polynomial through the points, constant first, by Lagrange interpolation."""
    total = [Fraction(0)] * len(points)
    for at, value in points.items():
        basis, scale = [Fraction(1)], Fraction(value)
        for other in points:
            if other != at:  # multiply by (x - other) / (at - other)
                times_x, same = [Fraction(0), *basis], [*basis, Fraction(0)]
                basis = [a - other * b for a, b in zip(times_x, same, strict=True)]
                scale /= at - other
        total = [sum_ + scale * each for sum_, each in zip(total, basis, strict=True)]
    return tuple(total)
