"""A document as one self-contained HTML page, which works without scripts; page data is drawn by JavaScript.

There is no template engine: the page is a few tags around tables, and a template would hide them from the type checker
and add a dependency.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from cnncost.render.document import (
    MARKUP,
    Cell,
    Column,
    Curve,
    Document,
    Equations,
    Heading,
    Note,
    Notes,
    Part,
    Picture,
    Row,
    Table,
    Tiles,
)
from cnncost.render.html_style import FRAGMENT, PAGE
from cnncost.render.layout import printable, text_width
from cnncost.render.program import PLACE, STATIC, with_program
from cnncost.render.values import missing, show

_NAME_WIDTH, _TEXT_WIDTH = 44, 24
"""Maximum widths, in characters, of a tree's name column and of its other columns; a tooltip shows long names in full.
"""


def to_html(document: Document) -> str:
    """Return one self-contained page: title and parts, and the JavaScript if the document has page data."""
    title = document.full_title or document.command
    if document.page_data is None:
        return page(title, _body(document, "h1"))
    above, below = around(document)
    head = [*title_lines(document, "h1"), *parts_lines(above), PLACE]
    rest = (line for part in _replaced(below, document.page_data.get("replaces")) for line in part)
    return with_program(document.page_data, page(title, [*head, *rest]))


def around(document: Document) -> tuple[list[Part], list[Part]]:
    """Return the parts above and below the place where the page's JavaScript draws.

    It draws in place of the first table and of the headings directly above it, which count as below.
    """
    parts = document.shown(MARKUP)
    first = next((i for i, part in enumerate(parts) if isinstance(part, Table)), len(parts))
    while first and isinstance(parts[first - 1], Heading):
        first -= 1
    return parts[:first], parts[first:]


def _replaced(parts: Sequence[Part], headings: Sequence[str] | None) -> Iterator[list[str]]:
    """Yield the lines of each part; parts that the JavaScript draws itself are wrapped, so that it can hide them.

    Those are the tables whose first column has one of `headings`, with the headings above them; all parts if None.
    """
    is_drawn = [headings is None or (isinstance(p, Table) and p.columns[0].heading in headings) for p in parts]
    for part, drawn, next_drawn in zip(parts, is_drawn, [*is_drawn, False][1:], strict=True):
        lines = list(_lines(part))
        title = isinstance(part, Heading) and next_drawn
        yield [f'<div class="{STATIC}">', *lines, "</div>"] if drawn or title else lines


def fragment(document: Document) -> str:
    """Return the document as an HTML fragment, for a notebook: without the page around it."""
    body = "\n".join(_body(document, "h3"))
    return f'<style>{FRAGMENT}</style>\n<div class="cnncost">\n{body}\n</div>\n'


def title_lines(document: Document, level: str) -> Iterator[str]:
    """Yield the title, in a heading of this level (`h1`), and the subtitle."""
    yield tag(level, document.title or document.command)
    if document.subtitle:
        yield tag("p", document.subtitle)


def _body(document: Document, level: str) -> Iterator[str]:
    yield from title_lines(document, level)
    yield from parts_lines(document.shown(MARKUP))


def parts_lines(parts: Iterable[Part], flat: bool = False) -> Iterator[str]:
    """Yield the lines of parts; `flat` shows trees as tables, indented without a style sheet."""
    for part in parts:
        yield from _lines(part, flat)


def page(title: str, body: Iterable[str]) -> str:
    """Return a page with these lines as its body."""
    lines = "\n".join(body)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>{FRAGMENT}{PAGE}</style>\n</head>\n"
        f'<body>\n<main class="cnncost">\n{lines}\n</main>\n</body>\n</html>\n'
    )


def _lines(part: Part, flat: bool = False) -> Iterator[str]:
    match part:
        case Table():
            if part.caption:
                yield tag("p", part.caption, "soft")
            tree = not flat and any(row.level is not None for row in part.rows)
            yield from tree_lines(part) if tree else table_lines(part)
        case Tiles():
            yield from _tiles(part)
        case Equations():
            yield from table_lines(part.table)
        case Notes(intro=Note() as intro):
            statements = listed(note.text + note.code for note in part.unconditional)
            yield f'<div class="unknown"><b>{escaped(intro.text)}</b>{statements}</div>'
        case Notes(listed=True):
            yield listed(note.text + note.code for note in part.unconditional)
        case Notes():
            yield from (tag("p", note.text + note.code, "soft") for note in part.unconditional)
        case Heading():
            yield tag(f"h{min(6, 1 + part.level)}", part.text)
        case Picture():
            yield f"<p><img{attribute('src', part.path)}{attribute('alt', part.title)}></p>"
        case Curve():
            pass


def table_lines(table: Table) -> Iterator[str]:
    """Yield the lines of a table, with totals in its foot, and bars drawn by CSS."""
    columns = [(i, c) for i, c in enumerate(table.columns) if c.shown in MARKUP or (c.kind, c.shown) == ("bar", "text")]
    heads = "".join(tag("th", c.heading, "n" if c.right else "", title=c.meaning, scope="col") for _, c in columns)
    yield f'<div class="scroll" tabindex="0"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>'
    yield from (_row(row, columns) for row in table.rows if row.role != "total")
    totals = [_row(row, columns) for row in table.rows if row.role == "total"]
    yield "</tbody>" + (f"\n<tfoot>{''.join(totals)}</tfoot>" if totals else "") + "\n</table></div>"


def _row(row: Row, columns: Sequence[tuple[int, Column]]) -> str:
    cells = [_cell(column, row.cell(i), n == 0, row.level) for n, (i, column) in enumerate(columns)]
    big = attribute("class", "big" if row.strong and row.role != "total" else "")
    return f"<tr{big}>{''.join(cells)}</tr>"


def _cell(column: Column, cell: Cell, first: bool, level: int | None) -> str:
    """Return a cell; the first of a tree's row is indented with spaces, because notebooks may drop the style sheet."""
    if column.kind == "bar":
        part = Fraction(cell.value or 0)
        inner = f'<span class="bar" style="--part: {float(100 * part):.3g}%"></span>' if part else ""
        return f'<td style="min-width: 8rem">{inner}</td>'
    text = column.text(cell) + cell.tail
    zero = " zero" if column.right and (missing(cell.value) or not cell.value) else ""
    css = f"n{zero}" if column.right else "wrap" if column.wrap else ""
    if not first or column.right:
        return tag("td", text, css)
    if level is None:
        return tag("th", text, scope="row")
    return f'<th scope="row" style="text-align: left">{"&nbsp;" * (3 * level)}{escaped(text)}</th>'


def tree_lines(table: Table) -> Iterator[str]:
    """Yield the lines of a tree of nested `details`, which can be opened without scripts; each row is a CSS grid."""
    columns = table.shown_in(MARKUP)
    yield f'<div class="scroll" tabindex="0"><div class="tree" style="--columns: {_widths(table, columns)}">'
    heads = [tag("span", c.heading, "" if c.bar else "name" if c.kind == "name" else "n" if c.right else "", c.meaning)
             for _, c in columns]  # fmt: skip
    yield f'<div class="row head">{"".join(heads)}</div>'
    bars = [i for i, c in columns if c.bar]
    lengths = (Fraction(row.cell(i).value or 0) for row in table.rows if row.role == "row" for i in bars)
    longest = max(lengths, default=Fraction(0))
    levels = [row.level if row.level is not None else 0 for row in table.rows]
    for row, level, after in zip(table.rows, levels, [*levels[1:], 0], strict=True):
        cells = "".join(_tree_cell(c, row, row.cell(i), longest) for i, c in columns)
        css = "row foot" if row.role == "total" else "row big" if row.strong else "row"
        if after > level:
            yield f'<details{" open" if level + 1 < table.open else ""}><summary class="{css}">{cells}</summary>'
        else:
            yield f'<div class="{css}">{cells}</div>'
            yield from ["</details>"] * (level - after)
    yield "</div></div>"


def _widths(table: Table, columns: Sequence[tuple[int, Column]]) -> str:
    """Return fixed column widths for CSS: each row is a grid of its own, so browsers can't align them by content."""
    widths = []
    for i, column in columns:
        texts = [(row.level, column.text(cell := row.cell(i)) + cell.tail) for row in table.rows]
        if column.kind == "name":  # about 2ch of indent per level, as in `.name` of the style sheet; 6ch of slack
            widest = max((text_width(text) + 2 * (level + 1) for level, text in texts if level is not None), default=0)
            widths.append(f"{min(_NAME_WIDTH, widest + 6)}ch")
        else:
            widest = max(text_width(column.heading), *(text_width(text) for _, text in texts))
            widths.append("minmax(6.5rem, 11rem)" if column.bar else f"{min(widest, _TEXT_WIDTH) + 1}ch")
    return " ".join(widths)


def _tree_cell(column: Column, row: Row, cell: Cell, longest: Fraction) -> str:
    total = row.role == "total"
    zero = "" if total or not (missing(cell.value) or not cell.value) else " zero"
    if column.kind == "name":
        tail = f'<span class="note">{escaped(cell.tail)}</span>' if cell.tail else ""
        attributes = "" if total else f' style="--level: {row.level}" title="{escaped(cell.title)}"'
        return f'<span class="name"{attributes}>{escaped(cell.value)}{tail}</span>'
    text = column.text(cell) + cell.tail
    if column.bar:
        per_mille = 1000 * (cell.value or 0) // longest if longest and not total else 0
        bar = f'<span class="bar" style="--part: {per_mille / 10:g}%"></span>' if per_mille else ""
        return f'<span class="share">{tag("span", text, f"n{zero}")}{bar}</span>'
    return tag("span", text, f"n{zero}" if column.right else "" if total else "class")


def _tiles(part: Tiles) -> Iterator[str]:
    """Yield the tiles: each number in short form and, if it is a large count, exactly."""
    yield '<div class="totals">'
    for name, kind, cell in part.tiles:
        text, short = (cell.mark + show(kind, cell.value, compact=compact) for compact in (False, True))
        exact = f'<span class="soft">{text}</span>' if kind == "count" and cell.value >= 1000 else ""
        yield f'<div><span class="soft">{escaped(name)}</span> <b>{short}</b> {exact}</div>'
    yield "</div>"


def listed(texts: Iterable[str]) -> str:
    """Return an HTML list of the texts, without empty ones."""
    return f"<ul>{''.join(f'<li>{escaped(text)}</li>' for text in texts if text)}</ul>"


def tag(name: str, text: str, css: str = "", title: str = "", scope: str = "") -> str:
    """Return an element that contains a text."""
    attributes = attribute("scope", scope) + attribute("class", css) + attribute("title", title)
    return f"<{name}{attributes}>{escaped(text)}</{name}>"


def attribute(name: str, value: str) -> str:
    """Return an attribute with a space before it; an empty string if its value is empty."""
    return f' {name}="{escaped(value)}"' if value else ""


def escaped(text: str) -> str:
    """Escape a text so that HTML shows it literally."""
    return html.escape(printable(text))
