"""The only place where an int becomes text.

Counts are exact ints until here. Powers of 1000 for counts (k, M, G, T), powers of 1024 for bytes.
All rounding is done on ints: a float has no 1 at 2⁵³ + 1.
"""

from __future__ import annotations

COUNT_UNITS: tuple[tuple[str, int], ...] = (("k", 10**3), ("M", 10**6), ("G", 10**9), ("T", 10**12))
"""Units of counts, smallest first."""
BYTE_UNITS: tuple[tuple[str, int], ...] = (("KiB", 2**10), ("MiB", 2**20), ("GiB", 2**30), ("TiB", 2**40))
"""Units of bytes, smallest first."""
NOTHING = "–"
"""What stands where there is no number to give."""


def exact(number: int) -> str:
    """`1234` → `1,234`."""
    return f"{number:,}"


def compact(number: int) -> str:
    """Three significant digits and a power of 1000: `4_089_184_256` → `4.09 G`; below 1000 exact."""
    return str(number) if abs(number) < 1000 else _scaled(number, COUNT_UNITS, 1000)


def data(nbytes: int) -> str:
    """Three significant digits and a power of 1024: `102_236_160` → `97.5 MiB`; below 1024 exact."""
    return f"{nbytes} B" if abs(nbytes) < 1024 else _scaled(nbytes, BYTE_UNITS, 1024)


def share(part: int, whole: int) -> str:
    """`83 %`; what is something is never `0 %`, and what is not all never `100 %`."""
    if whole == 0:
        return NOTHING
    percent = _rounded(100 * part, whole)
    if percent == 0 and part:
        return "<1 %"
    if percent == 100 and part < whole:
        return ">99 %"
    return f"{percent} %"


def shape(extents: tuple[int, ...]) -> str:
    """`(1, 3, 224, 224)` → `1×3×224×224`."""
    return "×".join(map(str, extents)) if extents else "scalar"


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 op`, `2 ops`, `1,234 ops`."""
    return f"{exact(number)} {noun if number == 1 else plural or noun + 's'}"


def _scaled(number: int, units: tuple[tuple[str, int], ...], base: int) -> str:
    """The smallest unit, and in it the most decimals, in which the rounded number has three digits.

    Rounding comes first, so that 999,999 is 1.00 M and never 1000 k. Of bytes, 1000 to 1023 of a unit
    have four digits.
    """
    sign, size = "-" if number < 0 else "", abs(number)
    for unit, factor in units:
        for decimals in (2, 1, 0):
            digits = _rounded(size * 10**decimals, factor)
            if digits < (base if decimals == 0 else 1000):
                whole, rest = divmod(digits, 10**decimals)
                return f"{sign}{whole}{f'.{rest:0{decimals}}' if decimals else ''} {unit}"
    unit, factor = units[-1]
    return f"{sign}{exact(_rounded(size, factor))} {unit}"


def _rounded(number: int, divisor: int) -> int:
    """`number / divisor` to the nearest whole, halves up."""
    return (2 * number + divisor) // (2 * divisor)
