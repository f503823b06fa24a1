"""The formats of a report, and which of them a file's ending asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from cnncost.files import by_ending

Format: TypeAlias = Literal["rich", "markdown", "csv", "json", "html"]
FORMATS: dict[str, str] = {
    ".md": "markdown", ".markdown": "markdown", ".csv": "csv", ".json": "json", ".html": "html", ".htm": "html",
}  # fmt: skip
"""Format by the file's ending."""


def format_of(path: str | Path) -> str:
    """The format that a file's ending asks for. Raises OutputError for an unknown one, and for a folder."""
    return by_ending(path, FORMATS)
