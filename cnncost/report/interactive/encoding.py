"""How the page's data is written: large ints as text, tables by column, equal texts once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

Json: TypeAlias = Any
"""Plain data: dicts, lists, texts, numbers, booleans, None."""
_EXACT = 2**53 - 1
"""The largest int that a number of JavaScript holds exactly, with all below it."""


def number(value: int | None) -> int | str | None:
    """An int that JavaScript reads exactly: as text if a number can't hold it."""
    return value if value is None or -_EXACT <= value <= _EXACT else str(value)


def dictionary(texts: Iterable[str]) -> dict[str, Json]:
    """Texts, each once, and which of them each row has: `{"texts": ["a", "b"], "of": [0, 1, 0]}`."""
    known: dict[str, int] = {}
    of = [known.setdefault(text, len(known)) for text in texts]
    return {"texts": [*known], "of": of}


def changes(values: Sequence[int]) -> list[list[int | str | None]]:
    """A curve as the indices where it changes, with what it is from there on."""
    found: list[list[int | str | None]] = []
    last: int | None = None
    for i, value in enumerate(values):
        if value != last:
            found.append([i, number(value)])
            last = value
    return found


def progressions(spans: Sequence[tuple[int, int] | None]) -> list[list[int] | int]:
    """Spans as runs in which both ends move by equal steps: `[count, first, its step, last, its step]`.

    A run in which nothing is seen is its count alone.
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
