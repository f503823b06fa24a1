"""A file in TOML that people write: read, checked value by value, and every complaint has its line."""

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
"""Where a value is: `("budget", 0, "macs")`."""


class TomlFile:
    """A file's text, and what its values are held against.

    Attributes:
        error: the class of the errors that it makes.
    """

    error: type[CnncostError] = CnncostError

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text = path, text

    def place(self, keys: Keys) -> str:
        """`cnncost.toml:3`; the file alone where it has no such key."""
        line = line_of(self.text, keys)
        return f"{self.path}:{line}" if line else str(self.path)

    def wrong(self, keys: Keys, message: str) -> CnncostError:
        """An error that begins with the file and the line of the key."""
        return self.error(f"{self.place(keys)}: {message}")

    def known(self, table: Any, keys: Keys, names: Collection[str], what: str) -> None:
        """Raise the first key of a table that is none of these names."""
        self.typed(table, dict, keys, "a table")
        for key in table:
            if key not in names:
                near = suggestion(key, names)
                hint = near or f"; expected {', '.join(names)}"
                raise self.wrong((*keys, key), f"unknown key {key!r} in {what}{hint}")

    def typed(self, value: Any, kind: type, keys: Keys, expected: str) -> Any:
        """The value, which has to be of this very type: True is no int."""
        if type(value) is not kind:
            raise self.wrong(keys, f"{keys[-1] if keys else 'the file'}: expected {expected}, got {value!r}"[:300])
        return value

    def inputs(self, value: Any, keys: Keys) -> tuple[str, ...]:
        """Inputs of a model, as `--input` takes them; none without a value."""
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
    """The text of a file.

    Raises:
        CnncostError: of the class given: no such file, or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")  # editors of Windows begin files with a mark of byte order
    except (OSError, UnicodeDecodeError) as caught:
        reason = caught.strerror if isinstance(caught, OSError) else "not UTF-8"
        raise error(f"{path}: can't be read: {reason}; expected {what} in TOML") from None


def parsed(path: Path, text: str, error: type[CnncostError]) -> dict[str, Any]:
    """The tables of a text in TOML.

    Raises:
        CnncostError: of the class given: broken TOML, with its line.
    """
    try:
        return tomllib.loads(text)
    except (
        ValueError,
        RecursionError,
    ) as caught:  # a number that is too long is another ValueError than TOML's own
        raise error(f"{path}: broken TOML: {caught}") from None


def line_of(text: str, keys: Keys) -> int | None:
    """The line, from 1, of `("budget", 0, "macs")`; None if the text has no such key.

    A key is on the first line up to which the file can be read and has it. So the reader itself, which does not tell,
    is asked, with inline tables, dotted keys and multi-line values: of the ends at which the file can be read, those
    that have the key are the last ones, and the first of them is found by halving.
    """
    lines = text.splitlines()
    low, high, found = 0, len(lines), None
    while low < high:
        middle = (low + high) // 2
        end, data = _readable(lines, middle + 1)
        if data is not None and _has(data, keys):
            high, found = middle, end
        else:
            low = middle + 1
    if found is None:
        return None
    above = next((end for end in range(found - 1, 0, -1) if _read(lines, end) is not None), 0)
    return _within(lines[above:found], keys, above)


def _readable(lines: list[str], start: int) -> tuple[int, dict[str, Any] | None]:
    """The first end from `start` on at which the text can be read, and what is read."""
    for end in range(start, len(lines) + 1):
        if (data := _read(lines, end)) is not None:
            return end, data
    return len(lines), None


def _read(lines: list[str], end: int) -> dict[str, Any] | None:
    try:
        return tomllib.loads("\n".join(lines[:end]))
    except ValueError:
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
