"""Compares a printed figure with the exact one.

A printed number is compared at its last significant digit. Trailing zeros are not significant in numbers with a
suffix such as k or million, a power of ten, or a `~` (230k, ~260), or in whole numbers from 1,000 up (4700). They are
significant in other whole numbers (10, 90 %), and always after a decimal point.

- **exact**: the figures are equal, or the statement holds.
- **rounded**: the significant digits are those of the exact number, either rounded to the nearest (off by no more than
  half a unit of the last digit) or cut off after at least two digits (too low by less than one unit). So 230k is
  235,200 cut off after two digits, and 86k is 86,400 rounded.
- **differs**: anything else. A number cut off after one digit may be too low by almost half: 400k for 470,400 differs.
- **stated**: the figure can't be computed: sizes of data sets, error rates, dates, and times on a device.
"""

from __future__ import annotations

from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from cnncost import units
from cnncost.lecture import values
from cnncost.lecture.printed import Figure, Number
from cnncost.lecture.values import Measured, Value

__all__ = ["Judgement", "Verdict", "judge"]

FEWEST_DIGITS_CUT_OFF = 2
"""A number cut off after fewer digits than this gets the verdict `differs`."""
_COUNTABLE = 10_000
"""For an exact figure below this, the distance is given as a difference; from here on, as a relative error."""
_WORDS = {1: "one digit", 2: "two digits", 3: "three digits", 4: "four digits"}


class Verdict(StrEnum):
    """Result of comparing a printed figure with the exact one."""

    EXACT = "exact"
    ROUNDED = "rounded"
    DIFFERS = "differs"
    STATED = "stated"


class Judgement(NamedTuple):
    """A verdict, and how the printed number deviates, in words; empty if it is exact or not compared as a number."""

    verdict: Verdict
    distance: str = ""


def judge(printed: Figure, exact: Measured | None) -> Judgement:
    """Compare a printed figure with the exact one, which is None if it can't be computed.

    A statement, whose exact value is true or false, is judged by that value alone. A figure whose unit or type is not
    that of the exact one (a number instead of a size) gets the verdict `differs`.
    """
    if exact is None:
        return Judgement(Verdict.STATED)
    value = exact.value
    if isinstance(value, bool):
        return Judgement(Verdict.EXACT if value else Verdict.DIFFERS)
    if isinstance(printed, Number) and isinstance(value, int | Fraction):
        if printed.unit != (exact.unit if exact.unit == "%" else ""):
            return Judgement(Verdict.DIFFERS)
        return _judge_number(printed, Fraction(value))
    return Judgement(Verdict.EXACT if _same(printed, value) else Verdict.DIFFERS)


def _judge_number(printed: Number, exact: Fraction) -> Judgement:
    below = exact - printed.value
    if below == 0:
        return Judgement(Verdict.EXACT)
    if abs(below) <= printed.step / 2:
        return Judgement(Verdict.ROUNDED, "to the nearest")
    cut_off = 0 < below < printed.step
    if cut_off and printed.digits >= FEWEST_DIGITS_CUT_OFF:
        return Judgement(Verdict.ROUNDED, f"cut off after {_digits(printed)}")
    distance = _distance(printed.value, exact, " points" if printed.unit == "%" else "")
    return Judgement(Verdict.DIFFERS, f"cut off after {_digits(printed)}, {distance}" if cut_off else distance)


def _digits(printed: Number) -> str:
    return _WORDS.get(printed.digits, f"{printed.digits} digits")


def _distance(printed: Fraction, exact: Fraction, points: str) -> str:
    """Return the relative error, as in `15 % too low`, or for small numbers the difference, as in `1 too low`."""
    off, way = abs(printed - exact), "too low" if printed < exact else "too high"
    if exact < _COUNTABLE:
        return f"{values.text(Measured(off))}{points} {way}"
    return f"{units.share(int(off * 10**6), int(exact * 10**6))} {way}"


def _same(printed: Figure, value: Value) -> bool:
    if isinstance(printed, str) and isinstance(value, str):
        return printed.casefold() == value.casefold()
    return printed == value
