"""Exact values of claims, and their formatting."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple, TypeAlias

from cnncost import units

__all__ = ["Measured", "Value", "decimal", "text"]

Value: TypeAlias = bool | int | Fraction | str | tuple[int, ...]
"""Whether a statement holds; a count; a ratio; words; or a size such as 28×28."""


class Measured(NamedTuple):
    """A value with its unit; `work` is the calculation behind it, if any."""

    value: Value
    unit: str = ""
    work: str = ""


def text(measured: Measured, right: str = "") -> str:
    """Return a value as text: `235,200`, `88.35 %`, `28×28`; for a statement, `right` or whether it holds."""
    value, unit = measured.value, measured.unit
    if isinstance(value, bool):
        return right or ("holds" if value else "does not hold")
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return units.shape(value)
    if isinstance(value, Fraction) and value.denominator != 1:
        return decimal(value) + (f" {unit}" if unit else "")
    return units.exact(int(value)) + (f" {unit}" if unit else "")


def decimal(number: Fraction, places: int = 2) -> str:
    """Return a ratio rounded half up to `places` decimals, or for example `<0.01` if it would round to zero."""
    scale = 10**places
    scaled = (2 * abs(number) * scale + 1) // 2
    sign = "-" if number < 0 else ""
    if not scaled:
        return f"{sign}<{1 / scale}"
    whole, rest = divmod(scaled, scale)
    return f"{sign}{units.exact(whole)}.{rest:0{places}}"
