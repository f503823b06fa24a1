r"""A table in LaTeX that fits a page of `article`: by smaller type, wrapped text, landscape, or several pages.

Widths are estimated in digits of the class's 10 pt type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from cnncost.render import layout
from cnncost.render.document import MARKUP, Column, Row, Table
from cnncost.render.layout import TableColumn

_LINE, _LANDSCAPE = 61, 105
"""Digits of 10 pt type per line, on a portrait and on a landscape page."""
_LINES, _LANDSCAPE_LINES = 32, 20
"""Maximum number of lines of a table on one page; a longer table is a `longtable`."""
_SIZES = {"": 10, r"\small": 9, r"\footnotesize": 8, r"\scriptsize": 7, r"\tiny": 5}
"""Size of type in points, by LaTeX command, largest first."""
_WIDE = "×≥≤±−→"
"""Characters wider than a digit."""
_NEVER_WRAPPED = 16
"""Text of at most this many digits is not wrapped."""

Escape = Callable[[str], str]


class _Fit(NamedTuple):
    """How a table fits: the LaTeX command for its type size, whether the page is landscape, each column's digits."""

    size: str
    landscape: bool
    widths: Sequence[int]


def table_lines(table: Table, escaped: Escape) -> Iterator[str]:
    """Yield the caption and the table, with the rules of booktabs."""
    columns = table.shown_in(MARKUP)
    texts = [[layout.printable(c.text(cell := row.cell(i)) + cell.tail) for i, c in columns] for row in table.rows]
    bold_rows = [row.strong for row in table.rows]
    fields = [_field(column, [row[n] for row in texts], bold_rows) for n, (_, column) in enumerate(columns)]
    fit = _fit(fields)
    wraps = [width < field.width for field, width in zip(fields, fit.widths, strict=True)]
    # a row has as many lines as its longest cell: the cell's width divided by its column's, rounded up
    lines = sum(max((-(-_digits(t) // max(w, 1)) for t, w in zip(row, fit.widths, strict=True)), default=1)
                for row in texts)  # fmt: skip
    name = "longtable" if lines > (_LANDSCAPE_LINES if fit.landscape else _LINES) else "tabular"
    if fit.landscape:
        yield r"\begin{landscape}"
    if table.caption:
        yield rf"\noindent {escaped(table.caption)}\\[1ex]"
    yield rf"{{{fit.size}\setlength{{\tabcolsep}}{{0.5em}}\noindent"
    yield rf"\begin{{{name}}}{'[l]' if name == 'longtable' else ''}{{@{{}}{_columns(fields, fit, wraps)}@{{}}}}"
    yield r"  \toprule"
    yield _line(escaped(column.heading) for _, column in columns)
    yield r"  \midrule" + (r"\endhead" if name == "longtable" else "")
    for i, (row, row_texts) in enumerate(zip(table.rows, texts, strict=True)):
        if row.role == "total" and i and table.rows[i - 1].role != "total":
            yield r"  \midrule"
        cells = zip(columns, row_texts, strict=True)
        yield _line(_cell(escaped(text), column, row, row.cell(k).strong) for (k, column), text in cells)
    yield r"  \bottomrule"
    yield rf"\end{{{name}}}}}"
    if fit.landscape:
        yield r"\end{landscape}"


def _field(column: Column, texts: Sequence[str], bold_rows: Sequence[bool]) -> TableColumn:
    """Return a column for the text renderer's layout, with cells as wide as the LaTeX text.

    Text can be wrapped down to its longest word, except code and short text.
    """
    breaks = column.kind in {"text", "texts", "tensors"}
    words = [_digits(word) for text in (*texts, column.heading) for word in text.split()]
    # bold type is about 1/7 wider
    sizes = [_digits(text) * (8 if bold else 7) // 7 for text, bold in zip(texts, bold_rows, strict=True)]
    cells = [layout.Cell("0" * size) for size in (*sizes, _digits(column.heading))]
    return TableColumn("", cells, column.right, max([*words, _NEVER_WRAPPED]) if breaks else None)


def _digits(text: str) -> int:
    """Return the width of a text in digits; capitals and signs such as × are wider than a digit."""
    return layout.text_width(text) + round(sum(0.6 for char in text if char in _WIDE) + sum(map(str.isupper, text)) / 3)


def _fit(fields: Sequence[TableColumn]) -> _Fit:
    """Return the largest type that fits: without wrapped text, else with it, else on a landscape page.

    Without wrapped text, type is at least footnotesize. Tiny type is only for landscape pages; a table that is too wide
    for all sizes gets it, too.
    """
    full_widths = [field.width for field in fields]
    total = sum(full_widths) + layout.GAP * (len(fields) - 1)
    for landscape, line in ((False, _LINE), (True, _LANDSCAPE)):
        rooms = {size: line * 10 // points for size, points in _SIZES.items()}
        for size in [*rooms][:3]:  # to footnotesize
            if total <= rooms[size]:
                return _Fit(size, landscape, full_widths)
        for size in [*rooms][1:] if landscape else [*rooms][1:-1]:  # from small; tiny only for landscape
            if layout.needed(fields) <= rooms[size]:
                return _Fit(size, landscape, layout.widths(fields, rooms[size]))
    return _Fit([*_SIZES][-1], True, layout.widths(fields, layout.needed(fields)))


def _columns(fields: Sequence[TableColumn], fit: _Fit, wraps: Sequence[bool]) -> str:
    """Return the column specification: `l`, `r`, and `p{…em}` for wrapped text; a digit is half an em."""
    return "".join(
        rf">{{\raggedright\arraybackslash}}p{{{width / 2:g}em}}" if wrap else "r" if field.right else "l"
        for field, width, wrap in zip(fields, fit.widths, wraps, strict=True)
    )


def _line(cells: Iterable[str]) -> str:
    return rf"  {begun(' & '.join(cells))} \\"


def begun(text: str) -> str:
    r"""Return a text that can't be an argument of what stands before it, as `*` and `[…]` are of `\\` and `\item`."""
    return "{}" + text if text.startswith(("*", "[")) else text


def _cell(text: str, column: Column, row: Row, strong: bool) -> str:
    if column.kind == "code" and text and row.role == "row":
        text = rf"\texttt{{{text}}}"
    return rf"\textbf{{{text}}}" if (row.strong or strong) and text else text
