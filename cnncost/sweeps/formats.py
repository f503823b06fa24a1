"""The formats of a sweep's table: those of all documents, and two that take many rows."""

from cnncost.render.formats import FORMATS, Format

SHOWN = FORMATS.also(Format("jsonl", (".jsonl",), meaning="a JSON object for each row, a line each"))
"""What `--format` can say."""
FILES = SHOWN.also(Format("parquet", (".parquet",)))
"""Files can be of bytes, too."""
