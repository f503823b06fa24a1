"""Parses input shapes: `1x3x224x224`, `1x128:int64`, `scalar:int64` for no axes, and named `ids=1x128:int64`."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from cnncost.errors import InputError

_SIZES = r"-?\d+(?:\s*[x×,]\s*-?\d+)*"
_SHAPE = re.compile(
    rf"^\s*(?:(scalar|{_SIZES})|\(\s*({_SIZES})\s*,?\s*\)|\[\s*({_SIZES})\s*,?\s*\])\s*(?::\s*([A-Za-z_]\w*))?\s*$",
    re.IGNORECASE,
)
"""`1x3x224x224` and `1X3X224X224`, or Python's and JSON's notation: `(1, 3, 224, 224)`, `[1, 3, 224, 224]`."""
_MAX_SIZE = 2**63 - 1
"""Maximum size of an axis: torch's sizes are signed 64-bit integers."""
_NAMED = re.compile(r"^\s*([A-Za-z_]\w*)\s*=(.*)$", re.DOTALL)


class TensorText(NamedTuple):
    """A parsed tensor specification: shape and dtype. If `dtype` is None, the tensor has the model's dtype."""

    shape: tuple[int, ...]
    dtype: str | None


class Literal:
    """A value passed to forward unchanged, even if it looks like a shape; the result of `cnncost.literal`."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"literal({self.value!r})"


def looks_like_shape(text: str) -> bool:
    """Return whether a string argument is meant as a shape; `scalar` alone isn't, because it may be an option."""
    return _SHAPE.match(text) is not None and text.strip().lower() != "scalar"


def parse_shape(text: str) -> TensorText:
    """Parse `"1x3x224x224"`, `"1x128:int64"`, or `"scalar"` and `"scalar:int64"` for a tensor without axes.

    Raises:
        InputError: the text has another form, or a size is below 1 or above 2^63 - 1.
    """
    match = _SHAPE.match(text)
    if match is None:
        raise InputError(f"input {text!r}: expected a shape such as 1x3x224x224, or with a dtype 1x128:int64")
    sizes, dtype = next(filter(None, match.group(1, 2, 3))), match[4]
    if sizes.lower() == "scalar":
        return TensorText((), dtype)
    digits = re.split(r"[xX×,]", sizes)
    if longest := max((n for n in digits if len(n.lstrip("0 ")) > 20), key=len, default=""):  # int() limits digits
        raise InputError(f"input {text[:40]!r}…: expected sizes below 2^63, got one of {len(longest)} digits")
    shape = tuple(int(n) for n in digits)
    for axis, size in enumerate(shape):
        if size < 1:
            raise InputError(f"input {text!r}: expected sizes of 1 or more, got {size} on axis {axis}")
        if size > _MAX_SIZE:
            raise InputError(f"input {text!r}: expected sizes below 2^63, got {size} on axis {axis}")
    return TensorText(shape, dtype)


def parse_inputs(texts: tuple[str, ...]) -> tuple[TensorText, ...] | dict[str, TensorText]:
    """Parse several `--input` options: all positional, or all named.

    Raises:
        InputError: only some options are named, a name is given twice, or a shape is invalid.
    """
    named = [_NAMED.match(text) for text in texts]
    if not any(named):
        return tuple(parse_shape(text) for text in texts)
    result: dict[str, TensorText] = {}
    for text, match in zip(texts, named, strict=True):
        if match is None:
            raise InputError(f"input {text!r}: other inputs are named; name all of them (NAME=SHAPE) or none")
        if match[1] in result:
            raise InputError(f"input {text!r}: {match[1]} is given twice")
        try:
            result[match[1]] = parse_shape(match[2])
        except InputError as error:
            raise InputError(f"{match[1]}: {error}") from None
    return result
