"""Parses limits: `"<= 4.1G"`, `">= 200"`, `"64MiB"`, and, relative to a baseline, `"+1%"`, `"+0"`.

Limits are exact: `4.1G` is 4,100,000,000, and `+1%` on 1234 is 1246.34, so 1246 is within and 1247 is over.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import inf
from typing import Any, Literal, NamedTuple, TypeAlias

from cnncost.budget.quantities import Direction, Quantity, Unit, Value
from cnncost.errors import CnncostError

Comparison: TypeAlias = Literal["<=", "<", ">=", ">", "=="]
Kind: TypeAlias = Literal["absolute", "amount", "percent"]

_FORM = re.compile(
    r"^\s*(?P<comparison><=|>=|==|=|<|>|≤|≥)?\s*"
    r"(?P<number>(?P<sign>[+\-−]?)\s*\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)"
    r"\s*(?P<unit>[A-Za-z%]*)\s*$"
)
_LONGEST = 60
"""Maximum number of characters in a string that is parsed as a limit."""
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
        comparison: the required relation of the value to the bound.
        number: the bound itself, or the allowance: an amount or a percentage of the baseline.
        kind: which of these the number is; `absolute` is the bound itself.
        text: the original text.
    """

    comparison: Comparison
    number: Fraction
    kind: Kind
    text: str

    @property
    def relative(self) -> bool:
        """Whether the limit requires a baseline."""
        return self.kind != "absolute"

    @property
    def direction(self) -> Direction:
        """Whether the limit applies to the largest (`<=`) or the smallest (`>=`) of several values."""
        return ">=" if self.comparison in {">=", ">"} else "<="

    def bound(self, baseline: Value | None) -> Value:
        """Return the number that a value is compared with. A relative limit needs the baseline."""
        if not self.relative:
            return self.number
        assert baseline is not None  # the check rejects relative limits without one
        if isinstance(baseline, float):  # infinite: a global receptive field, to which nothing can be added
            return baseline
        return baseline + self.number if self.kind == "amount" else baseline * (1 + self.number / 100)

    def holds(self, value: Value, bound: Value) -> bool:
        """Return whether a value satisfies the limit."""
        return {
            "<=": value <= bound, "<": value < bound, ">=": value >= bound, ">": value > bound, "==": value == bound,
        }[self.comparison]  # fmt: skip

    def headroom(self, value: Value, bound: Value) -> Fraction | None:
        """Return the distance to the bound as a fraction of it: negative if over, None if infinite or undefined."""
        if inf in {value, bound} or not bound:
            return None
        left = Fraction(bound - value if self.direction == "<=" else value - bound)
        if self.comparison == "==":  # a deviation in either direction violates it
            left = -abs(left)
        return left / Fraction(bound)

    @property
    def sign(self) -> str:
        """The comparison as displayed: `≤`."""
        return _SIGNS[self.comparison]


def parse_limit(value: Any, quantity: Quantity) -> Limit:
    """Return the limit that a budget file states: a number, or a string with an optional comparison, sign and unit.

    Raises:
        CnncostError: a value of the wrong type or form, a negative bound, a unit that the quantity doesn't have, no
            comparison for a quantity without a usual direction, or a relative limit on a quantity that baselines don't
            store.
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
    # only a string with a sign is an allowance: the TOML number -5 is a negative bound
    is_allowance, unit = match["sign"] and isinstance(value, str), match["unit"]
    if number < 0 and not is_allowance:
        raise CnncostError(f"{quantity.name}: expected a number of 0 or more, got {text}")
    kind: Kind = "absolute" if not is_allowance else "percent" if unit == "%" else "amount"
    if kind != "percent":
        number *= _factor(unit, text, quantity)
    elif number < -100:
        raise CnncostError(f"{quantity.name}: {text}: expected -100 % or more, as no figure is below 0")
    comparison = match["comparison"] or quantity.usual or ("<=" if is_allowance else None)
    if comparison is None:
        raise CnncostError(f'{quantity.name}: {text} has no direction; expected "<= {text}" or ">= {text}"')
    limit = Limit(_COMPARISONS[comparison], number, kind, text)
    if limit.relative and quantity.name == "unknown_ops":
        raise CnncostError(f"{quantity.name}: the baseline does not store it; give a number, such as 0")
    return limit


def _factor(unit: str, text: str, quantity: Quantity) -> int:
    """Return the factor of a unit, such as 2**20 for MiB. Raises CnncostError if the quantity doesn't have the unit."""
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
