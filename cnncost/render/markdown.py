"""A document as GitHub-flavored markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from cnncost.render import document as parts
from cnncost.render.layout import printable
from cnncost.render.values import SAFE, show

_SPECIAL = re.compile(r"([\\`*{}\[\]<>#|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
"""Characters that markdown would interpret; it does not interpret an underscore within a word."""


def to_markdown(document: parts.Document) -> str:
    """Return title and parts, separated by empty lines."""
    blocks = [f"{'#' * document.level} {escaped(document.full_title)}"] if document.title else []
    blocks += [f"{escaped(document.subtitle)}."] if document.subtitle else []
    blocks += [block for part in document.shown(parts.MARKUP) for block in _blocks(part, document.level)]
    return "\n\n".join(blocks) + "\n"


def _blocks(part: parts.Part, level: int) -> Iterator[str]:
    match part:
        case parts.Table():
            if part.caption:
                yield f"*{escaped(part.caption)}*"
            yield "\n".join(table_lines(part))
        case parts.Equations():
            yield "\n".join(table_lines(part.table))
        case parts.Notes():
            if part.intro is not None:
                yield _strong(_sentence(part.intro), part.intro.style == "warning")
            if text := _notes(part):
                yield text
        case parts.Heading():
            yield f"{'#' * (level + part.level)} {escaped(part.text)}"
        case parts.Picture():
            yield f"![{escaped(part.title)}]({part.path})"
        case _:
            pass


def _notes(part: parts.Notes) -> str:
    items = part.unconditional
    if not part.listed:
        return " ".join(_strong(_sentence(note), note.style == "warning") for note in items)
    return "\n".join(f"- {_strong(_note_text(note), note.style == 'warning' and part.intro is None)}" for note in items)


def _note_text(note: parts.Note) -> str:
    first, rest = note.text[: note.strong], note.text[note.strong :]
    return _strong(escaped(first), True) + escaped(rest) + (code(note.code) if note.code else "")


def _sentence(note: parts.Note) -> str:
    return _note_text(note) + ("" if note.text.endswith((".", ":")) else ".")


def table_lines(table: parts.Table) -> Iterator[str]:
    """Yield the lines of a table: headings, alignment, rows."""
    columns = table.shown_in(parts.MARKUP)
    yield line(column.heading or " " for _, column in columns)
    yield line("--:" if column.right else ":--" for _, column in columns)
    for row in table.rows:
        yield line(_cell(column, row.cell(i), row) for i, column in columns)


def _cell(column: parts.Column, cell: parts.Cell, row: parts.Row) -> str:
    text = show(column.kind, cell.value, column.empty)
    if column.kind == "code":
        shown = code(text) if text and row.role == "row" else escaped(text)
    else:
        shown = text if column.kind in SAFE else escaped(text)
    return _strong(cell.mark + shown + cell.tail, row.strong or cell.strong)


def _strong(text: str, strong: bool) -> str:
    return f"**{text}**" if strong and text else text


def line(cells: Iterable[str]) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(cells)} |"


def escaped(text: str) -> str:
    """Escape a text so that markdown shows it literally, even in a table."""
    return _SPECIAL.sub(r"\\\1", printable(text))


def code(text: str) -> str:
    """Return a code span; `|` is escaped because it ends a table cell even inside a code span."""
    fence = "``" if "`" in text else "`"
    return f"{fence}{printable(text)}{fence}".replace("|", "\\|")
