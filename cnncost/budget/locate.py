"""Finds the line of a key in a TOML file, which `tomllib` does not report.

A key is on the first line up to which the file can be read and has it. So the reader itself tells, with
inline tables, dotted keys and multi-line values; it is asked only when there is something to complain of.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any, TypeAlias

Keys: TypeAlias = "tuple[str | int, ...]"


def line_of(text: str, keys: Keys) -> int | None:
    """The line, from 1, of `("budget", 0, "macs")`; None if the text has no such key."""
    lines = text.splitlines()
    readable = 0
    for end in range(1, len(lines) + 1):
        try:
            data = tomllib.loads("\n".join(lines[:end]))
        except ValueError:
            continue
        if _has(data, keys):
            return _within(lines[readable:end], keys, readable)
        readable = end
    return None


def _has(data: Any, keys: Keys) -> bool:
    for key in keys:
        if isinstance(key, int):
            if not isinstance(data, list) or key >= len(data):
                return False
        elif not isinstance(data, dict) or key not in data:
            return False
        data = data[key]
    return True


def _within(lines: list[str], keys: Keys, above: int) -> int:
    """Of the lines of one value, the one that names the key; the first where none does."""
    name = re.escape(str(next((key for key in reversed(keys) if isinstance(key, str)), "")))
    named = re.compile(rf"(?<![\w-])[\"']?{name}[\"']?\s*[=.\]]")
    starts = [i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")]
    found = [i for i in starts if named.search(lines[i])]
    return above + 1 + (found or starts or [0])[0]
