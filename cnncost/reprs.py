"""One line for a record, as a prompt and a debugger show it."""

from __future__ import annotations

MOST = 200
"""Characters: two lines and a half of a terminal."""


def line(record: object, text: str) -> str:
    """`<Layer conv1 (Conv2d): 9,408 params>`: the type and a text, cut where it is too long, printable."""
    name = type(record).__name__
    shown = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
    room = MOST - len(name) - 3
    return f"<{name} {shown if len(shown) <= room else shown[: room - 3] + '...'}>"
