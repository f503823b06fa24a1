"""One-line `repr`s of records, for prompts and debuggers."""

from __future__ import annotations

_MAX_LENGTH = 200
"""In characters: two and a half lines of a terminal."""


def line(record: object, text: str) -> str:
    """Return `<Layer conv1 (Conv2d): 9,408 params>`: type name and text, escaped if not printable, cut if too long."""
    name = type(record).__name__
    shown = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
    room = _MAX_LENGTH - len(name) - 3
    return f"<{name} {shown if len(shown) <= room else shown[: room - 3] + '...'}>"
