"""Reads TOML files written by hand and checks their values; each error gives the file and, if known, the line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeAlias

from cnncost.errors import CnncostError
from cnncost.near import suggestion
from cnncost.shapes import parse_inputs

__all__ = ["Keys", "TomlFile", "line_of", "parsed", "text_of"]

Keys: TypeAlias = "tuple[str | int, ...]"
"""Path of a value in the file; `("budget", 0, "macs")` is `macs` in the first `[[budget]]`."""


class TomlFile:
    """A TOML file's path and text, with checks of its values; their errors give the line.

    Attributes:
        error: class of the errors; may be set on a subclass or an instance.
    """

    error: type[CnncostError] = CnncostError

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text = path, text

    def place(self, keys: Keys) -> str:
        """Return, for example, `cnncost.toml:3`; the path alone if the file has no such key."""
        line = line_of(self.text, keys)
        return f"{self.path}:{line}" if line else str(self.path)

    def wrong(self, keys: Keys, message: str) -> CnncostError:
        """Return an error whose message starts with the file and the key's line."""
        return self.error(f"{self.place(keys)}: {message}")

    def check_keys(self, table: Any, keys: Keys, names: Collection[str], what: str) -> None:
        """Raise an error if a value is not a table, or has a key that is not in `names`.

        The message calls the table `what`.
        """
        self.typed(table, dict, keys, "a table")
        for key in table:
            if key not in names:
                near = suggestion(key, names)
                hint = near or f"; expected {', '.join(names)}"
                raise self.wrong((*keys, key), f"unknown key {key!r} in {what}{hint}")

    def typed(self, value: Any, kind: type, keys: Keys, expected: str) -> Any:
        """Return the value. Raises an error if it is not of exactly this type: True is not an int here."""
        if type(value) is not kind:
            raise self.wrong(keys, f"{keys[-1] if keys else 'the file'}: expected {expected}, got {value!r}"[:300])
        return value

    def inputs(self, value: Any, keys: Keys) -> tuple[str, ...]:
        """Return a model's inputs as strings for `--input`; an empty tuple if the value is None."""
        expected = 'shapes: "1x3x32x32", a list of them, or { name = "1x128:int64" }'
        if value is None:
            return ()
        texts = [value] if isinstance(value, str) else value
        if isinstance(texts, dict):
            texts = [f"{name}={self.typed(text, str, (*keys, name), 'a shape')}" for name, text in texts.items()]
        texts = self.typed(texts, list, keys, expected)
        for text in texts:
            self.typed(text, str, keys, expected)
        try:
            parse_inputs(tuple(texts))
        except CnncostError as error:
            raise self.wrong(keys, str(error)) from None
        return tuple(texts)


def text_of(path: Path, error: type[CnncostError], what: str) -> str:
    """Return the text of a file.

    Raises:
        CnncostError: the file can't be read or is not UTF-8; of class `error`.
    """
    try:
        return path.read_text(encoding="utf-8-sig")  # editors on Windows begin files with a byte order mark
    except (OSError, UnicodeDecodeError) as caught:
        reason = caught.strerror if isinstance(caught, OSError) else "not UTF-8"
        raise error(f"{path}: can't be read: {reason}; expected {what} in TOML") from None


def parsed(path: Path, text: str, error: type[CnncostError]) -> dict[str, Any]:
    """Return the data of a TOML text.

    Raises:
        CnncostError: the text is not valid TOML; of class `error`.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as caught:  # not only TOMLDecodeError: int() rejects very long numbers
        raise error(f"{path}: broken TOML: {caught}") from None


def line_of(text: str, keys: Keys) -> int | None:
    """Return the line of a key, from 1; None if the text has no such key.

    `tomllib` reports no lines, but the first n lines have the key if and only if they include its line. A binary search
    for the smallest such n therefore finds it, also for inline tables, dotted keys and multi-line values. If the first
    n lines end within a value, they can't be parsed, and the next larger n that can be is used.
    """
    lines = text.splitlines()
    low, high, last = 0, len(lines), None  # `last`: the smallest known n whose lines have the key
    while low < high:
        middle = (low + high) // 2
        end, data = _readable(lines, middle + 1)
        if data is not None and _has(data, keys):
            high, last = middle, end
        else:
            low = middle + 1
    if last is None:
        return None
    # a value may span lines: it starts after the longest shorter text that can be parsed
    above = next((end for end in range(last - 1, 0, -1) if _read(lines, end) is not None), 0)
    return _line_within(lines[above:last], keys, above)


def _readable(lines: list[str], start: int) -> tuple[int, dict[str, Any] | None]:
    """Return the smallest number of lines, at least `start`, that can be parsed, and their data.

    If there is none, return the number of all lines, and None.
    """
    for end in range(start, len(lines) + 1):
        if (data := _read(lines, end)) is not None:
            return end, data
    return len(lines), None


def _read(lines: list[str], end: int) -> dict[str, Any] | None:
    """Return the data of the first `end` lines; None if they are not valid TOML."""
    try:
        return tomllib.loads("\n".join(lines[:end]))
    except ValueError:
        return None


def _has(data: Any, keys: Keys) -> bool:
    """Return whether a path of keys leads to a value in nested tables and lists."""
    for key in keys:
        if isinstance(key, int):
            if not isinstance(data, list) or key >= len(data):
                return False
        elif not isinstance(data, dict) or key not in data:
            return False
        data = data[key]
    return True


def _line_within(lines: list[str], keys: Keys, above: int) -> int:
    """Return the line of a key within the lines of one value, the first of which is line `above` + 1 of the file."""
    name = re.escape(str(next((key for key in reversed(keys) if isinstance(key, str)), "")))
    key_pattern = re.compile(rf"(?<![\w-])[\"']?{name}[\"']?\s*[=.\]]")
    starts = [i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")]
    with_key = [i for i in starts if key_pattern.search(lines[i])]
    return above + 1 + (with_key or starts or [0])[0]
