"""Describes in one line why a peer failed."""

from __future__ import annotations

import traceback

_LONGEST = 200
"""Maximum length of the error's text, in characters."""


def reason(error: BaseException) -> str:
    """Return the error's type, the function that raised it, and the first line of its message."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {frames[-1].name}" if frames else ""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return f"{type(error).__name__}{where}: {text}" if text else f"{type(error).__name__}{where}"
