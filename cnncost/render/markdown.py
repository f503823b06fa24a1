"""A document as GitHub-flavored markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from cnncost.render import document as parts
from cnncost.render.layout import end, printable
from cnncost.render.values import SAFE, show

_SPECIAL = re.compile(
    r"([\\`*{}\[\]<>#|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"
    r"|&(?=#?\w+;)|(?<![\w:]):(?=[\w+-]+:))"
)
"""Characters that markdown would interpret: an underscore at a word's end, the first of an entity (`&lt;`) or emoji."""
_BEGINS = re.compile(r"(?=[-+](?:\s|$))|(?=-[-\s]*$)|(?<=\d)(?=[.)](?:\s|$))")
"""Places before characters that begin an item of a list or a rule, if only digits stand before them in a line."""


def to_markdown(document: parts.Document) -> str:
    """Return title and parts, separated by empty lines."""
    blocks = [f"{'#' * document.level} {escaped(document.full_title)}"] if document.title else []
    blocks += [_begun(escaped(document.subtitle) + end(document.subtitle))] if document.subtitle else []
    blocks += [block for part in document.shown(parts.MARKUP) for block in _blocks(part, document.level)]
    return "\n\n".join(blocks) + "\n"


def _blocks(part: parts.Part, level: int) -> Iterator[str]:
    match part:
        case parts.Table():
            if part.caption:
                yield f"*{escaped(part.caption).strip()}*"
            yield "\n".join(table_lines(part))
        case parts.Equations():
            yield "\n".join(table_lines(part.table))
        case parts.Notes():
            if part.intro is not None:
                yield _begun(_strong(_sentence(part.intro), part.intro.style == "warning"))
            if text := _notes(part):
                yield text
        case parts.Heading():
            yield f"{'#' * (level + part.level)} {escaped(part.text)}"
        case parts.Picture():
            yield f"![{escaped(part.title)}]({_target(part.path)})"
        case _:
            pass


def _notes(part: parts.Notes) -> str:
    items = part.unconditional
    if not part.listed:
        return _begun(" ".join(_strong(_sentence(note), note.style == "warning") for note in items))
    texts = (_strong(_note_text(note), note.style == "warning" and part.intro is None) for note in items)
    return "\n".join(f"- {_begun(text)}" for text in texts)


def _note_text(note: parts.Note) -> str:
    first, rest = note.text[: note.strong], note.text[note.strong :]
    return _strong(escaped(first), True) + escaped(rest) + (code(note.code) if note.code else "")


def _sentence(note: parts.Note) -> str:
    return _note_text(note) + end(note.text)


def table_lines(table: parts.Table) -> Iterator[str]:
    """Yield the lines of a table: headings, alignment, rows."""
    columns = table.shown_in(parts.MARKUP)
    yield line(escaped(column.heading) or " " for _, column in columns)
    yield line("--:" if column.right else ":--" for _, column in columns)
    for row in table.rows:
        yield line(_cell(column, row.cell(i), row) for i, column in columns)


def _cell(column: parts.Column, cell: parts.Cell, row: parts.Row) -> str:
    text = show(column.kind, cell.value, column.empty)
    if column.kind == "code":
        # `|` ends a table's cell even inside a code span
        shown = code(text).replace("|", "\\|") if text and row.role == "row" else escaped(text)
    else:
        shown = text if column.kind in SAFE else escaped(text)
    return _strong(cell.mark + shown + escaped(cell.tail), row.strong or cell.strong)


def _strong(text: str, strong: bool) -> str:
    return f"**{text.strip()}**" if strong and text.strip() else text


def line(cells: Iterable[str]) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(cells)} |"


def escaped(text: str) -> str:
    """Escape a text so that markdown shows it literally, even in a table."""
    return _SPECIAL.sub(r"\\\1", printable(text))


def _begun(text: str) -> str:
    """Return a text of which markdown takes the beginning of the line for nothing else."""
    text = text.lstrip()
    digits = re.match(r"\d*", text)
    return _BEGINS.sub(r"\\", text, count=1) if digits and _BEGINS.match(text, digits.end()) else text


def code(text: str) -> str:
    """Return a code span."""
    shown = printable(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    space = " " if shown[:1] == "`" or shown[-1:] == "`" else ""
    return f"{fence}{space}{shown}{space}{fence}"


def _target(path: str) -> str:
    """Return the path of a picture; one with spaces or brackets stands in angle brackets."""
    return re.sub(r"([\\<>])", r"\\\1", path).join("<>") if re.search(r"[\s()<>\\]", path) else path
