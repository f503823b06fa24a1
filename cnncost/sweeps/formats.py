"""The formats of a sweep's table: those of all documents, and two for many rows."""

from cnncost.render.formats import FORMATS, Format

SHOWN = FORMATS.also(Format("jsonl", (".jsonl",), meaning="a JSON object for each row, one per line"))
"""Formats for `--format`."""
FILES = SHOWN.also(Format("parquet", (".parquet",)))
"""Formats of files; these include Parquet, which is binary and can't be printed."""
