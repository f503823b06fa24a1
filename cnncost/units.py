"""Formats numbers with units, and parses sizes in bytes.

Counts remain exact ints until they are formatted here. Counts use powers of 1000 (k, M, G, T), bytes powers of 1024.
Counts are rounded by integer arithmetic, because a float can't represent 2⁵³ + 1.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

COUNT_UNITS: tuple[tuple[str, int], ...] = (("k", 10**3), ("M", 10**6), ("G", 10**9), ("T", 10**12))
"""Units of counts, smallest first."""
BYTE_UNITS: tuple[tuple[str, int], ...] = (("KiB", 2**10), ("MiB", 2**20), ("GiB", 2**30), ("TiB", 2**40))
"""Units of bytes, smallest first."""
NOTHING = "–"
"""Displayed in place of a missing number."""


def exact(number: int) -> str:
    """Return `1,234` for 1234."""
    return f"{number:,}"


def compact(number: int) -> str:
    """Return three significant digits and a unit (powers of 1000): `4.09 G` for 4_089_184_256; exact below 1000."""
    return str(number) if abs(number) < 1000 else _scaled(number, COUNT_UNITS, 1000)


def data(nbytes: int) -> str:
    """Return three significant digits and a unit (powers of 1024): `97.5 MiB` for 102_236_160; exact below 1024."""
    return f"{nbytes} B" if abs(nbytes) < 1024 else _scaled(nbytes, BYTE_UNITS, 1024)


def share(part: int, whole: int) -> str:
    """Return, for example, `83 %`; a nonzero part is never shown as `0 %`, nor less than the whole as `100 %`."""
    if whole == 0:
        return NOTHING
    percent = _rounded(100 * part, whole)
    if percent == 0 and part:
        return "<1 %"
    if percent == 100 and part < whole:
        return ">99 %"
    return f"{percent} %"


def shape(extents: tuple[int, ...]) -> str:
    """Return `1×3×224×224` for `(1, 3, 224, 224)`, and `scalar` for no axes."""
    return "×".join(map(str, extents)) if extents else "scalar"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 op`, `2 ops`, `1,234 ops`."""
    return f"{exact(number)} {noun if number == 1 else plural or noun + 's'}"


def _scaled(number: int, units: tuple[tuple[str, int], ...], base: int) -> str:
    """Format with three digits in the smallest unit in which they suffice.

    The number is rounded before the unit is chosen, so that 999,999 is 1.00 M and not 1000 k. For bytes, 1000 to 1023
    of a unit have four digits.
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
    """Return `number / divisor` rounded to the nearest int, halves up."""
    return (2 * number + divisor) // (2 * divisor)


_SI = (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0), ("m", 1e-3), ("µ", 1e-6), ("n", 1e-9))


def si(number: float, unit: str) -> str:
    """Return three significant digits of a measured or predicted quantity: `3.19 ms`, `989 TFLOP/s`, `68.3 GB/s`."""
    if not number:
        return f"0 {unit}"
    rounded = float(f"{number:.3g}")  # rounded before the prefix is chosen, so that 999.9 µs is 1.00 ms
    prefix, factor = next(((p, f) for p, f in _SI if abs(rounded) >= f), _SI[-1])
    scaled = rounded / factor
    # 9.995 and 99.95 round to 10.0 and 100, which have fewer decimals
    decimals = 2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0
    return f"{scaled:,.{decimals}f} {prefix}{unit}"


def ratio(number: float) -> str:
    """Return a quotient with two decimals below 10, one below 100, and none above: `0.87`, `12.3`, `295`."""
    size = abs(number)
    return f"{number:,.{2 if size < 9.995 else 1 if size < 99.95 else 0}f}"


def percent(part: float, whole: float = 1.0) -> str:
    """Return a share of a measured or predicted quantity, such as `87 %`, with one decimal below 10 %."""
    if not whole:
        return NOTHING
    value = 100 * part / whole
    return f"{value:.1f} %" if value and abs(value) < 9.95 else f"{value:.0f} %"


def duration(seconds: float) -> str:
    """Return, for example, `3.19 ms`; long durations in minutes, hours or days: `1.58 days`."""
    # less than two minutes, two hours or a day is shown in the next smaller unit
    for name, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length or (name == "days" and seconds >= length):
            return f"{ratio(seconds / length)} {name}"
    return si(seconds, "s")


def parse_data(text: str) -> int:
    """Return the number of bytes of a size such as `2GiB`, `64 MiB`, `1.5 GB` (powers of 1000) or `4096`.

    Raises:
        ValueError: the text is not a size, or the size is below 1 byte.
    """
    number, unit = text.strip(), ""
    while number and not (number[-1].isdigit() or number[-1] == "."):
        number, unit = number[:-1], number[-1] + unit
    factors = {"": 1, "b": 1} | {name.lower(): factor for name, factor in BYTE_UNITS}
    factors |= {f"{name.lower()}b": factor for name, factor in COUNT_UNITS}
    try:
        size = Decimal(number) * factors[unit.strip().lower()]
    except (InvalidOperation, KeyError):
        raise ValueError(f"{text!r} is not a size; expected, for example, 2GiB, 512MiB or 24GB") from None
    if size < 1:
        raise ValueError(f"{text!r}: expected at least one byte")
    return int(size)
