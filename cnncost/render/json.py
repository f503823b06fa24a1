"""A document as JSON, in the schema that all commands share.

    {"schema": 3, "command": …, facts …, "<table>": [{"<column>": value, …}, …], …}

Counts and bytes are ints, seconds floats, shapes lists of ints, dtypes strings; unknown values are null. A list of
objects has one line per object, so a diff of two files shows which rows changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from cnncost.render.document import DATA, Document
from cnncost.render.values import plain

SCHEMA = 3
"""Version of the JSON of all commands. Before 3, each command had its own, and some wrote shapes as text."""


def to_json(document: Document) -> str:
    """Return one JSON object: facts, then each table as a list of objects."""
    return json_text(to_dict(document))


def to_dict(document: Document) -> dict[str, Any]:
    """Return the content of the JSON as plain data."""
    data: dict[str, Any] = {"schema": SCHEMA, "command": document.command} | plain(document.facts)
    for table in document.tables(DATA):
        if table.name:
            columns = table.shown_in(DATA)
            results = (row for row in table.rows if row.role == "row")
            data[table.name] = [{c.name: plain(row.cell(i).value) for i, c in columns} for row in results]
    return data


def _identity(value: Any) -> Any:
    return value


def json_text(data: Mapping[str, Any], to_plain: Callable[[Any], Any] = _identity) -> str:
    """Return an object as JSON with a line for each key, and for each object in a list.

    `to_plain` converts each value or list item just before it is written, so rows are never all copied at once.
    """
    lines = [f"  {json.dumps(key)}: {_lines(value, to_plain)}" for key, value in data.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _lines(value: Any, to_plain: Callable[[Any], Any]) -> str:
    if isinstance(value, list) and value and isinstance(to_plain(value[0]), dict):
        return "[\n    " + ",\n    ".join([line(to_plain(row)) for row in value]) + "\n  ]"
    return line(to_plain(value))


def line(value: Any) -> str:
    """Return plain data as JSON on one line."""
    return _ENCODER.encode(value)


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
