"""Report formats, and the format for each file suffix."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from cnncost.files import by_ending

Format: TypeAlias = Literal["rich", "markdown", "csv", "json", "html"]
FORMATS: dict[str, str] = {
    ".md": "markdown", ".markdown": "markdown", ".csv": "csv", ".json": "json", ".html": "html", ".htm": "html",
}  # fmt: skip
"""Format by file suffix."""


def format_of(path: str | Path) -> str:
    """The format for a file's suffix. Raises OutputError for an unknown suffix or a folder."""
    return by_ending(path, FORMATS)
