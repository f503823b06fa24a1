"""A document as one self-contained HTML page without scripts.

Written by hand and not by a template: the page is a few tags around tables, and one more dependency would move them
into a file that types and tests don't see.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from fractions import Fraction

from cnncost.render.document import (
    MARKUP,
    Cell,
    Column,
    Curve,
    Document,
    Equations,
    Heading,
    Notes,
    Part,
    Picture,
    Row,
    Table,
)
from cnncost.render.html_style import FRAGMENT, PAGE
from cnncost.render.layout import printable
from cnncost.render.values import missing, show

_SHOWN = MARKUP | {"text"}


def to_html(document: Document) -> str:
    """One self-contained page: title, then the parts."""
    body = [tag("h1", document.title or document.command)]
    body += [tag("p", document.subtitle)] if document.subtitle else []
    body += [line for part in document.shown(MARKUP) for line in _lines(part)]
    return page(document.full_title or document.command, body)


def page(title: str, body: Iterable[str]) -> str:
    """A page around the lines of its body."""
    lines = "\n".join(body)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>{FRAGMENT}{PAGE}</style>\n</head>\n"
        f'<body>\n<main class="cnncost">\n{lines}\n</main>\n</body>\n</html>\n'
    )


def _lines(part: Part) -> Iterator[str]:
    match part:
        case Table():
            if part.caption:
                yield tag("p", part.caption, "soft")
            yield from table_lines(part)
        case Equations():
            yield from table_lines(part.table)
        case Notes(listed=True):
            yield listed(note.text + note.code for note in part.told)
        case Notes():
            yield from (tag("p", note.text + note.code, "soft") for note in part.told)
        case Heading():
            yield tag(f"h{min(6, 1 + part.level)}", part.text)
        case Picture():
            yield f"<p><img{attribute('src', part.path)}{attribute('alt', part.title)}></p>"
        case Curve():
            pass


def table_lines(table: Table) -> Iterator[str]:
    """The table, its totals as its foot; bars are drawn."""
    places = [i for i in table.places(_SHOWN) if table.columns[i].kind == "bar" or table.columns[i].shown != "text"]
    columns = [table.columns[i] for i in places]
    heads = "".join(tag("th", c.heading, "n" if c.right else "", title=c.meaning, scope="col") for c in columns)
    yield f'<div class="scroll"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>'
    yield from (_row(row, places, columns) for row in table.rows if row.role != "total")
    totals = [_row(row, places, columns) for row in table.rows if row.role == "total"]
    yield "</tbody>" + (f"\n<tfoot>{''.join(totals)}</tfoot>" if totals else "") + "\n</table></div>"


def _row(row: Row, places: list[int], columns: list[Column]) -> str:
    cells = [_cell(column, row.cell(i), first=not number) for number, (i, column) in enumerate(zip(places, columns))]  # noqa: B905  # one each
    big = attribute("class", "big" if row.strong and row.role != "total" else "")
    return f"<tr{big}>{''.join(cells)}</tr>"


def _cell(column: Column, cell: Cell, first: bool) -> str:
    if column.kind == "bar":
        part = Fraction(cell.value or 0)
        inner = f'<span class="bar" style="--part: {float(100 * part):.3g}%"></span>' if part else ""
        return f'<td style="min-width: 8rem">{inner}</td>'
    text = cell.mark + show(column.kind, cell.value, column.empty) + cell.tail
    zero = " zero" if column.right and (missing(cell.value) or not cell.value) else ""
    css = f"n{zero}" if column.right else ""
    return tag("th", text, scope="row") if first and not column.right else tag("td", text, css)


def listed(texts: Iterable[str]) -> str:
    """A list of those that are not empty."""
    return f"<ul>{''.join(f'<li>{escaped(text)}</li>' for text in texts if text)}</ul>"


def tag(name: str, text: str, css: str = "", title: str = "", scope: str = "") -> str:
    """An element with a text in it."""
    attributes = attribute("scope", scope) + attribute("class", css) + attribute("title", title)
    return f"<{name}{attributes}>{escaped(text)}</{name}>"


def attribute(name: str, value: str) -> str:
    """An attribute; nothing if it is empty."""
    return f' {name}="{html.escape(value)}"' if value else ""


def escaped(text: str) -> str:
    """Text that HTML shows as it is."""
    return html.escape(printable(text))
