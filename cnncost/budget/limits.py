"""Parses limits: `"<= 4.1G"`, `">= 200"`, `"64MiB"`, and against a baseline `"+1%"`, `"+0"`.

A limit is exact: `4.1G` is 4,100,000,000, and `+1%` of 1234 is 1246.34, which 1246 is within.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import inf
from typing import Any, Literal, NamedTuple, TypeAlias

from cnncost.budget.quantities import Direction, Quantity, Unit, Value, show
from cnncost.errors import CnncostError

Comparison: TypeAlias = Literal["<=", "<", ">=", ">", "=="]
Kind: TypeAlias = Literal["absolute", "amount", "percent"]

_FORM = re.compile(
    r"^\s*(?P<comparison><=|>=|==|=|<|>|≤|≥)?\s*"
    r"(?P<number>(?P<sign>[+\-−]?)\s*\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)"
    r"\s*(?P<unit>[A-Za-z%]*)\s*$"
)
_LONGEST = 60
"""Maximum length of a text that is parsed as a limit, in characters."""
_COMPARISONS: dict[str, Comparison] = {
    "<=": "<=", "≤": "<=", "<": "<", ">=": ">=", "≥": ">=", ">": ">", "==": "==", "=": "==",
}  # fmt: skip
_SIGNS = {"<=": "≤", ">=": "≥", "==": "=", "<": "<", ">": ">"}
_THOUSANDS = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BYTES = {
    "": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_UNITS: dict[Unit, dict[str, int]] = {
    "count": _THOUSANDS, "bytes": _BYTES, "pixels": {"": 1, "px": 1}, "ratio": {"": 1},
}  # fmt: skip
_EXAMPLES: dict[Unit, str] = {
    "count": '"<= 4.1G", 25600000 or "+1%"', "bytes": '"<= 64MiB" or "+0"', "pixels": '">= 200"', "ratio": '">= 10"',
}  # fmt: skip


class Limit(NamedTuple):
    """A comparison with a number, or with a baseline plus an allowance.

    Attributes:
        comparison: the required relation of value to bound.
        number: the bound, or the allowance as an amount or as a percentage of the baseline.
        kind: whether the number is absolute (the bound), an amount or a percentage.
        text: the original text.
    """

    comparison: Comparison
    number: Fraction
    kind: Kind
    text: str

    @property
    def relative(self) -> bool:
        """Whether it requires a baseline."""
        return self.kind != "absolute"

    @property
    def direction(self) -> Direction:
        """Whether the limit applies to the largest or smallest of several values."""
        return ">=" if self.comparison in {">=", ">"} else "<="

    def bound(self, baseline: Value | None) -> Value:
        """Return the number that a value is compared with. A relative limit needs the baseline."""
        if not self.relative:
            return self.number
        assert baseline is not None  # the check rejects relative limits without one
        if isinstance(baseline, float):  # infinite: a receptive field that is global stays so
            return baseline
        return baseline + self.number if self.kind == "amount" else baseline * (1 + self.number / 100)

    def holds(self, value: Value, bound: Value) -> bool:
        """Return whether a value satisfies the limit."""
        return {
            "<=": value <= bound, "<": value < bound, ">=": value >= bound, ">": value > bound, "==": value == bound,
        }[self.comparison]  # fmt: skip

    def headroom(self, value: Value, bound: Value) -> Fraction | None:
        """Return the distance to the bound as a fraction of it: negative beyond it, None if infinite or undefined."""
        if inf in {value, bound} or not bound:
            return None
        left = Fraction(bound - value if self.direction == "<=" else value - bound)
        if self.comparison == "==":  # a deviation in either direction violates it
            left = -abs(left)
        return left / Fraction(bound)

    def show(self, bound: Value, unit: Unit) -> str:
        """Return the bound with its comparison, `≤ 4.10 G`."""
        return f"{self.sign} {show(bound, unit)}"

    @property
    def sign(self) -> str:
        """The displayed comparison, `≤`."""
        return _SIGNS[self.comparison]


def parse_limit(value: Any, quantity: Quantity) -> Limit:
    """Return the limit that a budget file states: a number, or a text with a sign and a unit.

    Raises:
        CnncostError: a value of the wrong type or form, a unit that the quantity doesn't have, no sign for a quantity
            without a usual direction, or a change of a quantity that no baseline has.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        got = {dict: "a table", list: "a list", bool: "true or false"}.get(type(value), type(value).__name__)
        raise CnncostError(f"{quantity.name}: expected a limit such as {_EXAMPLES[quantity.unit]}, got {got}")
    text = value.strip() if isinstance(value, str) else str(value)
    match = _FORM.match(text) if len(text) <= _LONGEST else None
    if match is None:
        raise CnncostError(
            f"{quantity.name}: expected a limit such as {_EXAMPLES[quantity.unit]}, got {text[:_LONGEST]!r}"
        )
    number = Fraction(match["number"].replace("_", "").replace("−", "-").replace(" ", ""))
    # only a text with a sign is an allowance: the TOML number -5 is a negative bound
    is_allowance, unit = match["sign"] and isinstance(value, str), match["unit"]
    if number < 0 and not is_allowance:
        raise CnncostError(f"{quantity.name}: expected a number of 0 or more, got {text}")
    kind: Kind = "absolute" if not is_allowance else "percent" if unit == "%" else "amount"
    if kind != "percent":
        number *= _factor(unit, text, quantity)
    comparison = match["comparison"] or quantity.usual or ("<=" if is_allowance else None)
    if comparison is None:
        raise CnncostError(f'{quantity.name}: {text} has no direction; expected "<= {text}" or ">= {text}"')
    limit = Limit(_COMPARISONS[comparison], number, kind, text)
    if limit.relative and quantity.name == "unknown_ops":
        raise CnncostError(f"{quantity.name}: is not kept in the baseline; give a number, such as 0")
    return limit


def _factor(unit: str, text: str, quantity: Quantity) -> int:
    """Return the value of a unit, such as 2**20 for MiB. Raises CnncostError if the quantity doesn't have it."""
    units_of = _UNITS[quantity.unit]
    if unit in units_of:
        return units_of[unit]
    where = f"{quantity.name}: {text!r}: "
    if unit == "%":
        example = f'"+{text.lstrip("<>= ")}"'
        raise CnncostError(f"{where}a percentage is relative to the baseline; write it with a sign, such as {example}")
    if quantity.unit == "bytes" and unit in _THOUSANDS:
        raise CnncostError(f"{where}unclear unit of bytes; expected {unit.upper()}iB (1024) or {unit}B (1000)")
    if quantity.unit != "bytes" and unit in _BYTES:
        raise CnncostError(f"{where}{unit} is a unit of bytes, and {quantity.name} are {quantity.meaning}")
    units = ", ".join(u for u in units_of if u) or "none"
    raise CnncostError(f"{where}unknown unit {unit!r}; expected one of: {units}")
