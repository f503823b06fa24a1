"""Parses figures as slides print them: the number, and how many of its digits are significant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from cnncost.lecture.arithmetic import evaluate, is_formula

__all__ = ["Figure", "Number", "ambiguity", "parse"]


@dataclass(frozen=True, slots=True)
class Number:
    """A printed number.

    Attributes:
        value: the number.
        step: one unit in the last significant digit.
        digits: number of significant digits.
        unit: `%`, or empty.
    """

    value: Fraction
    step: Fraction
    digits: int
    unit: str = ""


Figure: TypeAlias = Number | tuple[int, ...] | str
"""A number, a size such as 28×28, or words."""

_SCALES = {
    "k": 10**3, "K": 10**3, "M": 10**6, "million": 10**6, "G": 10**9, "billion": 10**9, "T": 10**12, "trillion": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "%": 1, "": 1,
}  # fmt: skip
_UNITS = r"(?:bytes?|params|parameters|MACs?|FLOPs?|OPs?|FLOPS|B)"
_SIZE = re.compile(r"\d+(?:\s*[x×]\s*\d+)+")
_GRID = re.compile(r"\d+(?: \d+)+(?: / \d+(?: \d+)+)+")  # a matrix, such as 1 0 1 / 0 1 0 / 1 0 1
_NUMBER = re.compile(
    r"(?P<about>~|[Aa]bout )?(?<![A-Za-z\d.-])"  # LeNet-5 and x784 are names
    r"(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?:\.(?P<decimals>\d+))?"
    r"\s*(?:[x×]\s*10\^(?P<power>\d+)"
    rf"|(?P<scale>(?:k|K|M|G|T|million|billion|trillion|%)(?={_UNITS}?(?![A-Za-z]))|[KMG]i(?=B(?![A-Za-z]))))?"
)
_LETTER = re.compile(r"[A-Za-z]")
_MISREAD = (
    (re.compile(r"[,.]\d"), "a point for decimals and commas for thousands: 25.6M, or 25,557,032"),
    (re.compile(r"[ \u00a0\u202f']\d{3}(?!\d)"), "commas for thousands: 25,557,032"),
    (re.compile(r"\s*(?:[-–—]|to)\s*\d"), "one figure, not a range"),
    (re.compile(r"\s*[x×·*+/]\s*\d"), "one figure, or a size alone: 28x28"),
)  # fmt: skip
"""Text after a number that means that the number would be misread, and what to write instead."""
_BOUND = re.compile(r"[<>≤≥]=?\s*$|(?:at (?:most|least)|less than|more than|under|over|up to)\s+$", re.IGNORECASE)
_PRINTED_IN_FULL = 1000
"""Trailing zeros of numbers below this are significant, except with a `~` or a `k`: 10 classes are exactly ten."""


def parse(text: str) -> Figure:
    """Return the figure in a text: a size, the value of a formula, the first number, or else the words."""
    stripped = text.strip()
    if _SIZE.fullmatch(stripped):
        return tuple(int(extent) for extent in re.findall(r"\d+", stripped))
    if _GRID.fullmatch(stripped):
        return stripped
    if is_formula(stripped):
        value = evaluate(stripped)
        return Number(Fraction(value), Fraction(1), len(str(value)))
    match = _NUMBER.search(stripped)
    return _number(match) if match else stripped


def ambiguity(text: str) -> str:
    """Return a message for a figure that can be read in two ways, with what to write instead; empty for others.

    `parse` takes the first number and ignores the rest, which is right for `60k digits images` but not for `25,6M`.
    """
    stripped = text.strip()
    if not isinstance(parse(stripped), Number) or is_formula(stripped):
        return ""
    match = _NUMBER.search(stripped)
    assert match  # it is a Number
    read = match[0].rstrip()
    before, after = stripped[: match.start()], stripped[match.start() + len(read) :]
    if _BOUND.search(before):
        return f"{text!r} is a bound: expected a figure, or, to test that a < b, exact = {{ below = [a, b] }}"
    for pattern, expected in _MISREAD:
        if pattern.match(after):
            return f'{text!r}: expected {expected}; or give the figure as value = "…", and printed may be any text'
    if not match["scale"] and _LETTER.match(after) and not after.startswith("x"):
        return f'{text!r}: the text after {read} is no known unit; expected k, M, G, KiB or %, or value = "…"'
    return ""


def _number(match: re.Match[str]) -> Number:
    whole, decimals = match["whole"].replace(",", ""), match["decimals"] or ""
    scale = 10 ** int(match["power"]) if match["power"] else _SCALES[match["scale"] or ""]
    zeros = len(whole) - len(whole.rstrip("0")) if not decimals else 0  # trailing zeros that aren't significant
    shortened = bool(match["about"]) or scale > 1 or int(whole) >= _PRINTED_IN_FULL
    if not shortened or not whole.rstrip("0"):  # the second condition means that the number is 0
        zeros = 0
    place = Fraction(10**zeros, 10 ** len(decimals))  # one unit of the last significant digit, before scaling
    value = Fraction(int(whole + decimals), 10 ** len(decimals))
    digits = len(str(int(value / place)))
    return Number(value * scale, place * scale, digits, "%" if match["scale"] == "%" else "")
