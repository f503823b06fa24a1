"""The formats of a report's files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from cnncost.files import by_ending
from cnncost.render.formats import ENDINGS

Format: TypeAlias = Literal["text", "markdown", "csv", "json", "html", "latex"]


def format_of(path: str | Path) -> str:
    """The format for a file's suffix. Raises OutputError for an unknown suffix or a folder."""
    return by_ending(path, ENDINGS)
