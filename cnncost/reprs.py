"""One-line `repr`s of records, for prompts and debuggers."""

from __future__ import annotations

_MAX_LENGTH = 200
"""Maximum length in characters: two and a half lines of a terminal."""


def line(record: object, text: str) -> str:
    """Return a record's type and a text in angle brackets, such as `<Layer conv1 (Conv2d): 9,408 params>`.

    Unprintable characters are escaped, and a text that is too long is truncated.
    """
    name = type(record).__name__
    shown = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    room = _MAX_LENGTH - len(name) - 3  # brackets and the space
    return f"<{name} {shown if len(shown) <= room else shown[: room - 3] + '...'}>"
