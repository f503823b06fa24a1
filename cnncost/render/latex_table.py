r"""A table in LaTeX that fits a page of `article`: smaller type, texts in lines, landscape, over several pages.

Widths are estimated in characters, by what a digit of the class's 10 pt type takes of its line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from cnncost.render import layout
from cnncost.render.document import MARKUP, Column, Row, Table
from cnncost.render.layout import TableColumn

_LINE, _LANDSCAPE = 61, 105
"""Characters of a line of text, and of one on a page that is turned."""
_LINES, _TURNED = 32, 20
"""Lines of a table that needs no page of its own."""
_SIZES = {"": 10, r"\small": 9, r"\footnotesize": 8, r"\scriptsize": 7, r"\tiny": 5}
"""Sizes of type in points."""
_WIDE = "×≥≤±−→"
_FEW = 16
"""Characters of a text that is not broken into lines."""

Escape = Callable[[str], str]


class _Fit(NamedTuple):
    """How a table fits: the command for its size, whether the page is turned, characters of each column."""

    size: str
    turned: bool
    widths: Sequence[int]


def table_lines(table: Table, escaped: Escape) -> Iterator[str]:
    """The caption, and the table by booktabs."""
    columns = table.shown_in(MARKUP)
    texts = [[layout.printable(c.text(cell := row.cell(i)) + cell.tail) for i, c in columns] for row in table.rows]
    heavy = [row.strong for row in table.rows]
    fields = [_field(column, [row[at] for row in texts], heavy) for at, (_, column) in enumerate(columns)]
    fit = _fit(fields)
    wraps = [width < field.width for field, width in zip(fields, fit.widths, strict=True)]
    lines = sum(max((-(-_digits(t) // max(w, 1)) for t, w in zip(row, fit.widths, strict=True)), default=1)
                for row in texts)  # fmt: skip
    name = "longtable" if lines > (_TURNED if fit.turned else _LINES) else "tabular"
    if fit.turned:
        yield r"\begin{landscape}"
    if table.caption:
        yield rf"\noindent {escaped(table.caption)}\\[1ex]"
    yield rf"{{{fit.size}\setlength{{\tabcolsep}}{{0.5em}}\noindent"
    yield rf"\begin{{{name}}}{'[l]' if name == 'longtable' else ''}{{@{{}}{_columns(fields, fit, wraps)}@{{}}}}"
    yield r"  \toprule"
    yield _line(escaped(column.heading) for _, column in columns)
    yield r"  \midrule" + (r"\endhead" if name == "longtable" else "")
    for i, (row, given) in enumerate(zip(table.rows, texts, strict=True)):
        if row.role == "total" and i and table.rows[i - 1].role != "total":
            yield r"  \midrule"
        cells = zip(columns, given, strict=True)
        yield _line(_cell(escaped(text), column, row, row.cell(k).strong) for (k, column), text in cells)
    yield r"  \bottomrule"
    yield rf"\end{{{name}}}}}"
    if fit.turned:
        yield r"\end{landscape}"


def _field(column: Column, texts: Sequence[str], heavy: Sequence[bool]) -> TableColumn:
    """What the text renderer lays out; a text can be as narrow as its longest word, but for short ones and code."""
    breaks = column.kind in {"text", "texts", "tensors"}
    words = [_digits(word) for text in (*texts, column.heading) for word in text.split()]
    sizes = [_digits(text) * (8 if bold else 7) // 7 for text, bold in zip(texts, heavy, strict=True)]
    cells = [layout.Cell("0" * size) for size in (*sizes, _digits(column.heading))]
    return TableColumn("", cells, column.right, max([*words, _FEW]) if breaks else None)


def _digits(text: str) -> int:
    """The width of a text in digits: capitals and signs such as × are wider."""
    return layout.places(text) + round(sum(0.6 for char in text if char in _WIDE) + sum(map(str.isupper, text)) / 3)


def _fit(fields: Sequence[TableColumn]) -> _Fit:
    """The largest type that fits: first with no text in lines, then with texts in lines, then on a page that is turned.

    Tiny type is for pages that are turned, and for what is too wide for all.
    """
    whole = sum(field.width for field in fields) + layout.GAP * (len(fields) - 1)
    plain = [field.width for field in fields]
    for turned, line in ((False, _LINE), (True, _LANDSCAPE)):
        rooms = {size: line * 10 // points for size, points in _SIZES.items()}
        for size in [*rooms][:3]:
            if whole <= rooms[size]:
                return _Fit(size, turned, plain)
        for size in [*rooms][1:] if turned else [*rooms][1:-1]:
            if layout.needed(fields) <= rooms[size]:
                return _Fit(size, turned, layout.widths(fields, rooms[size]))
    return _Fit([*_SIZES][-1], True, layout.widths(fields, layout.needed(fields)))


def _columns(fields: Sequence[TableColumn], fit: _Fit, wraps: Sequence[bool]) -> str:
    """`l` and `r`, and `p` for texts in lines: a character is half an em."""
    return "".join(
        rf">{{\raggedright\arraybackslash}}p{{{width / 2:g}em}}" if wrap else "r" if field.right else "l"
        for field, width, wrap in zip(fields, fit.widths, wraps, strict=True)
    )


def _line(cells: Iterable[str]) -> str:
    return rf"  {' & '.join(cells)} \\"


def _cell(text: str, column: Column, row: Row, strong: bool) -> str:
    if column.kind == "code" and text and row.role == "row":
        text = rf"\texttt{{{text}}}"
    return rf"\textbf{{{text}}}" if (row.strong or strong) and text else text
