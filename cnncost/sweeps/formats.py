"""The formats of a sweep's table: those of all documents, and two that take many rows."""

from cnncost.render.formats import FORMATS, Format

SHOWN = FORMATS.also(Format("jsonl", (".jsonl",), meaning="a JSON object for each row, a line each"))
"""Formats for `--format`."""
FILES = SHOWN.also(Format("parquet", (".parquet",)))
"""Formats of files; Parquet is binary, so that it can't be printed."""
