"""Compact encodings of the page's data: large ints as strings, strings by index, curves and spans as runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

Json: TypeAlias = Any
"""Plain data: dicts, lists, strings, numbers, booleans, None."""
_EXACT = 2**53 - 1
"""JavaScript's Number.MAX_SAFE_INTEGER: larger ints lose digits in its floating-point numbers."""


def number(value: int | None) -> int | str | None:
    """Return the int itself, or its decimal text if JavaScript could not hold it exactly."""
    return value if value is None or -_EXACT <= value <= _EXACT else str(value)


def dictionary(texts: Iterable[str]) -> dict[str, Json]:
    """Encode a column of texts as its distinct texts and each row's index: `{"texts": ["a", "b"], "of": [0, 1, 0]}`."""
    index_of: dict[str, int] = {}
    indices = [index_of.setdefault(text, len(index_of)) for text in texts]
    return {"texts": [*index_of], "of": indices}


def changes(values: Sequence[int]) -> list[list[int | str | None]]:
    """Encode a curve as `[index, value]` for each index at which the value changes."""
    points: list[list[int | str | None]] = []
    last: int | None = None
    for i, value in enumerate(values):
        if value != last:
            points.append([i, number(value)])
            last = value
    return points


def progressions(spans: Sequence[tuple[int, int] | None]) -> list[list[int] | int]:
    """Encode a list of (first, last) as runs in which both move by constant steps.

    A run is `[count, first, step of first, last, step of last]`; a run of None (the unit sees nothing) is its count.
    """
    runs: list[list[int] | int] = []
    i = 0
    while i < len(spans):
        end = i + 1
        span = spans[i]
        if span is None:
            while end < len(spans) and spans[end] is None:
                end += 1
            runs.append(end - i)
        else:
            following = spans[end] if end < len(spans) else None
            steps = (following[0] - span[0], following[1] - span[1]) if following is not None else (0, 0)
            while end < len(spans) and spans[end] == (span[0] + steps[0] * (end - i), span[1] + steps[1] * (end - i)):
                end += 1
            runs.append([end - i, span[0], steps[0], span[1], steps[1]])
        i = end
    return runs
