r"""A document as LaTeX: its tables by booktabs, to be `\input` in a paper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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
)
from cnncost.render.layout import printable
from cnncost.render.values import show

_SIGNS = str.maketrans({
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "×": r"$\times$", "≥": r"$\ge$", "≤": r"$\le$", "±": r"$\pm$", "−": "$-$", "–": "--",
    "→": r"$\to$", "·": r"$\cdot$", "…": r"\dots{}", "µ": r"\textmu{}", "≈": r"$\approx$", "∞": r"$\infty$",
    "²": r"\textsuperscript{2}", "³": r"\textsuperscript{3}", "⁴": r"\textsuperscript{4}",
    "⌈": r"$\lceil$", "⌉": r"$\rceil$", "⌊": r"$\lfloor$", "⌋": r"$\rfloor$",
    "◆": r"$\diamond$", "✓": r"$\checkmark$", "✗": r"$\times$",
})  # fmt: skip
_LEVELS = ("section", "subsection", "subsubsection", "paragraph")


def to_latex(document: Document) -> str:
    """A fragment: what it needs as comments, then headings, notes and tables."""
    formulas = any(isinstance(part, Equations) for part in document.shown(MARKUP))
    packages = "{amsmath} for formulas, {amssymb} for signs" if formulas else "{amssymb} for signs"
    lines = [rf"% needs \usepackage{{booktabs}}, and {packages}", ""]
    if document.title:
        lines += [rf"\section*{{{escaped(document.full_title)}}}", ""]
    if document.subtitle:
        lines += [f"{escaped(document.subtitle)}.", ""]
    for part in document.shown(MARKUP):
        lines += [*_lines(part), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _lines(part: Part) -> Iterator[str]:
    match part:
        case Table():
            yield from _table(part)
        case Equations():
            yield from _equations(part)
        case Notes(listed=True):
            yield r"\begin{itemize}"
            yield from (rf"  \item {_said(note)}" for note in part.told)
            yield r"\end{itemize}"
        case Notes():
            yield from (f"{_said(note)}." for note in part.told)
        case Heading():
            yield rf"\{_LEVELS[min(part.level, len(_LEVELS) - 1)]}*{{{escaped(part.text)}}}"
        case Picture() | Curve():
            pass


def _equations(part: Equations) -> Iterator[str]:
    """A line for each name; what has no formula is left out."""
    lines = [
        rf"  \text{{{escaped(name)}}} &= {each.latex}" for each in part.equations if each.latex for name in each.names
    ]
    if lines:
        yield r"\begin{align*}"
        yield " \\\\\n".join(lines)
        yield r"\end{align*}"


def _said(note: Note) -> str:
    return escaped(note.text) + (rf"\texttt{{{escaped(note.code)}}}" if note.code else "")


def _table(table: Table) -> Iterator[str]:
    places = table.places(MARKUP)
    columns = [table.columns[i] for i in places]
    if table.caption:
        yield rf"{escaped(table.caption)}\\[1ex]"
    yield rf"\begin{{tabular}}{{{''.join('r' if column.right else 'l' for column in columns)}}}"
    yield r"  \toprule"
    yield _line(escaped(column.heading) for column in columns)
    yield r"  \midrule"
    for i, row in enumerate(table.rows):
        if row.role == "total" and i and table.rows[i - 1].role != "total":
            yield r"  \midrule"
        yield _line(_cell(column, row.cell(k), row) for k, column in zip(places, columns, strict=True))
    yield r"  \bottomrule"
    yield r"\end{tabular}"


def _line(cells: Iterable[str]) -> str:
    return rf"  {' & '.join(cells)} \\"


def _cell(column: Column, cell: Cell, row: Row) -> str:
    text = escaped(cell.mark + show(column.kind, cell.value, column.empty) + cell.tail)
    if column.kind == "code" and text and row.role == "row":
        text = rf"\texttt{{{text}}}"
    return rf"\textbf{{{text}}}" if (row.strong or cell.strong) and text else text


def escaped(text: str) -> str:
    """Text that LaTeX shows as it is."""
    return printable(text).translate(_SIGNS)
