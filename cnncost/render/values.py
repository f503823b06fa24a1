"""Formats values by their kind, for people, CSV and JSON. Renderers format values only through this module.

Missing values are None: people see the column's `empty`, CSV has an empty cell, JSON null. NaN is a missing value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any, Literal, NamedTuple, TypeAlias

from cnncost import units

Kind: TypeAlias = Literal[
    "text", "name", "code", "flag", "shape", "shapes", "tensors", "number", "count", "compact", "signed", "difference",
    "bytes", "capacity", "watts", "seconds", "duration", "rate", "ratio", "share", "part", "percent", "error",
    "headroom", "growth", "figure", "along", "texts", "bar",
]  # fmt: skip
"""The kind of a column's values, which selects their format in `_FORMATTERS`. A `name` identifies its row; a `figure`
is an already formatted number, for columns whose rows have different units.
"""


class Tensor(NamedTuple):
    """An input: `{"shape": [1, 3, 224, 224], "dtype": "float32"}` in JSON, `1x3x224x224:float32` in CSV."""

    shape: tuple[int, ...]
    dtype: str


def tensors(pairs: Iterable[tuple[tuple[int, ...], str]]) -> tuple[Tensor, ...]:
    """Return (shape, dtype) pairs as values of a cell or fact."""
    return tuple(Tensor(*pair) for pair in pairs)


def tensors_text(pairs: Iterable[tuple[tuple[int, ...], str]]) -> str:
    """Return (shape, dtype) pairs as text: `1×3×224×224 float32, 1×128 int64`."""
    return ", ".join(f"{units.shape(shape)} {dtype}" for shape, dtype in pairs)


def along(values: Any) -> str:
    """Return the value of each axis as text; only one if all are equal."""
    if not values:
        return ""
    return str(values[0]) if len(set(values)) == 1 else "×".join(map(str, values))


def _shapes(shapes: Any) -> str:
    """Return the first shape and the number of others: `1×64×56×56 +2`."""
    return units.shape(shapes[0]) + (f" +{len(shapes) - 1}" if len(shapes) > 1 else "")


def signed(number: int, size: Callable[[int], str] = units.compact) -> str:
    """Return a difference such as `+409 M`, `−1.20 k` or `±0`."""
    return "±0" if not number else ("+" if number > 0 else "−") + size(abs(number))


def percent(part: Fraction) -> str:
    """Return a fraction as `0.3 %` or `12 %`; a nonzero one is never `0 %`."""
    if not part:
        return "0 %"
    size = abs(100 * part)
    sign = "−" if part < 0 else ""
    if size < Fraction(1, 10):
        return f"{sign}<0.1 %"
    return f"{sign}{float(size):.1f} %" if size < 10 else f"{sign}{round(size):,} %"


def growth(pair: tuple[int, int]) -> str:
    """Return the growth of a pair (old, new) as `+10 %`; `±0 %` if they are equal, `new` if old is 0."""
    old, new = pair
    if old == new:
        return "±0 %"
    if not old:
        return "new"
    part = Fraction(new - old, old)
    return percent(part) if part < 0 else f"+{percent(part)}"


_WORDS: dict[Kind, Callable[[Any], str]] = {
    "text": str,
    "name": str,
    "code": str,
    "flag": lambda value: "yes" if value else "no",
    "shapes": _shapes,
    "tensors": lambda value: ", ".join(units.shape(each.shape) for each in value),
    "texts": "; ".join,
    "bar": lambda _: "",
}
_NUMBERS: dict[Kind, Callable[[Any], str]] = {
    "number": lambda value: f"{value:,.3g}" if isinstance(value, float) and value < 100 else f"{value:,.0f}",
    "count": units.exact,
    "compact": units.compact,
    "signed": signed,
    "difference": lambda value: f"{value:+,}" if value else "same",
    "bytes": units.data,
    "capacity": lambda value: units.si(value, "B"),
    "watts": lambda value: f"{value:g} W",
    "seconds": lambda value: units.si(value, "s"),
    "duration": units.duration,
    "rate": lambda value: units.si(value, "").strip(),
    "ratio": units.ratio,
    "share": lambda value: units.share(*value.as_integer_ratio()),
    "part": lambda value: "all" if value == 1 else units.share(*value.as_integer_ratio()),
    "percent": units.percent,
    "error": lambda value: f"{100 * value:+.0f} %".replace("-", "−"),
    "headroom": percent,
    "growth": growth,
    "figure": str,
    "along": along,
    "shape": units.shape,
}
_FORMATTERS = _WORDS | _NUMBERS
"""Functions that return a value as text, by kind."""
NUMBERS = frozenset(_NUMBERS)
"""Kinds that are right-aligned."""
SAFE = (NUMBERS | {"flag", "shapes", "tensors"}) - {"figure"}
"""Kinds whose text contains no markdown markup."""


def missing(value: Any) -> bool:
    """Return whether a value is missing: None or NaN."""
    return value is None or value != value  # noqa: PLR0124  # NaN is not equal to itself


def show(kind: Kind, value: Any, empty: str = "", compact: bool = False) -> str:
    """Return a value as text for people; `compact` shortens counts, `empty` stands for a missing or empty value."""
    if missing(value) or value in ("", ()):
        return empty
    if isinstance(value, float) and value in (float("inf"), -float("inf")):
        return "∞" if value > 0 else "−∞"
    return _FORMATTERS["compact" if compact and kind == "count" else kind](value)


def plain(value: Any) -> Any:
    """Return a value as plain data for JSON: tuples as lists, Fractions as floats, NaN as None, infinity as `"inf"`."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, (tuple, list)):
        return [plain(each) for each in value]
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, float) and value in (float("inf"), -float("inf")):
        return str(value)
    return None if missing(value) else value


def as_data(row: Any) -> dict[str, Any]:
    """Return the fields of a NamedTuple as a dict for JSON, in which `nbytes` is named `bytes`."""
    return {"bytes" if name == "nbytes" else name: value for name, value in row._asdict().items()}


def csv_cell(value: Any, kind: Kind = "text") -> Any:
    """Return a value for CSV and pandas: shapes as `1x64x112x112`; several shapes or texts joined by semicolons."""
    if kind == "texts":
        return "; ".join(value)
    if kind == "tensors":
        return "; ".join(f"{'x'.join(map(str, each.shape)) or 'scalar'}:{each.dtype}" for each in value)
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):
        return "; ".join("x".join(map(str, shape)) for shape in value)
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    if isinstance(value, Fraction):
        return float(value)
    return "" if missing(value) else value
