"""A report into a file, in the format of its ending."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cnncost.files import by_ending, write
from cnncost.report.model import Report

FORMATS: dict[str, str] = {
    ".md": "markdown", ".markdown": "markdown", ".csv": "csv", ".json": "json", ".html": "html", ".htm": "html",
}  # fmt: skip
"""Format by the file's ending."""


def save(report: Report, path: str | Path) -> None:
    """Write the report in the format of the file's ending.

    Raises:
        OutputError: an unknown ending, or a place that can't be written to.
    """
    render: dict[str, Callable[[], str]] = {
        "markdown": report.to_markdown, "csv": report.to_csv, "json": report.to_json, "html": report.to_html,
    }  # fmt: skip
    write(path, render[format_of(path)]())


def format_of(path: str | Path) -> str:
    """The format that a file's ending asks for. Raises OutputError for an unknown one, and for a folder."""
    return by_ending(path, FORMATS)
