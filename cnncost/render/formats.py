"""The formats of a document, by name, and the endings of their files."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnncost.render.document import Document

FORMATS = ("markdown", "csv", "json", "html", "latex")
"""Beside text."""
ENDINGS = {
    ".md": "markdown", ".markdown": "markdown", ".csv": "csv", ".json": "json", ".html": "html", ".htm": "html",
    ".tex": "latex", ".txt": "text",
}  # fmt: skip
"""Format by a file's ending."""


def rendered(document: Document, form: str) -> str:
    """The document in one of the formats, whose renderer alone is imported; any other is text of the document's width.

    Raises:
        ValueError: CSV of a document without a table of data.
    """
    if form not in FORMATS:
        from cnncost.render.text import to_text

        return to_text(document, document.width) + "\n"
    render: Callable[[Document], str] = getattr(import_module(f"cnncost.render.{form}"), f"to_{form}")
    return render(document)
