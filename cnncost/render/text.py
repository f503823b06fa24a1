"""A document as lines of styled text that fit a width: a terminal, a pipe and a file get the same lines.

Tables are laid out by `layout.py` and not by rich: a path is shortened in its middle, where rich cuts its end, which
says most; columns go in an order that each table gives; and rich, slow to import, is needed for colours alone.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from cnncost import units
from cnncost.render import layout
from cnncost.render.document import TEXT, Column, Curve, Document, Equations, Heading, Note, Notes, Part, Row, Table
from cnncost.render.layout import Field, Line
from cnncost.render.values import show

STYLES = {
    "title": "bold", "heading": "bold", "total": "bold", "rule": "dim", "guide": "dim", "note": "dim", "zero": "dim",
    "own": "italic dim", "parent": "bold cyan", "class": "green", "biggest": "bold yellow",
    "bar": "blue", "front": "bold green", "grew": "bold red", "shrank": "green",
    "within": "green", "over": "bold red", "uncertain": "yellow", "warning": "bold red",
}  # fmt: skip
"""Of all commands; a style without a line here has no colour."""
_SIGNS = "─├│└×…≥█▏"
_BLOCKS = "▁▂▃▄▅▆▇█"
_UNIT = r"(?:[kMGTPE]?(?:FLOP/s|FLOPs|FLOP|MACs|params|B/s|B|W|J)|[KMGTP]iB|[kMGTPE%]|[mµn]?s)"
_QUANTITY = re.compile(rf"(?<=\d) (?={_UNIT}(?:[\s,;:)]|$))|(?<=[≤≥=<>]) (?=\d)")
_PHRASE = re.compile(r"(?<=[,;]) ")
_SHORT = 40
"""Characters of a phrase that is not broken."""


def to_lines(document: Document, width: int) -> list[Line]:
    """Title, then the parts; no line is longer than `width`, unless a table can't be made narrower."""
    width = max(width, document.least)
    headline = document.title if document.headline is None else document.headline
    title = ", ".join(text for text in (layout.printable(headline), document.subtitle) if text)
    lines: list[Line] = [[(line, "title")] for line in wrapped(title, width)]
    there: set[str] = set()
    for part in document.shown(TEXT):
        if isinstance(part, Table):
            there |= {part.columns[i].name for i in _fitted(part, width)[0]}
        shown = list(_part(part, width, there))
        if not shown:
            continue
        if part.apart and lines:
            lines.append([])
        lines += shown
    return lines


def to_text(document: Document, width: int) -> str:
    """The lines without styles."""
    return "\n".join(layout.plain(line).rstrip() for line in to_lines(document, width))


def colored(line: Line, styles: Mapping[str, str] = STYLES) -> str:
    """A line with ANSI escape codes, by rich's names of styles."""
    from rich.color import ColorSystem
    from rich.style import Style

    return "".join(
        Style.parse(styles[style]).render(text, color_system=ColorSystem.STANDARD) if styles.get(style) else text
        for text, style in line
    )


def showable(text: str, encoding: str) -> str:
    """Transliterate this package's text to ASCII if the encoding lacks its characters."""
    return text if encodable(encoding) else "\n".join(layout.to_ascii(line) for line in text.split("\n"))


def encodable(encoding: str) -> bool:
    """Whether an encoding has the characters of tables."""
    try:
        _SIGNS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def wrapped(text: str, width: int, first: str = "", hang: str = "  ") -> list[str]:
    """Lines of a text; a number stays with its unit and its sign, and a short phrase between commas is not broken."""
    longest = min(_SHORT, width // 2)
    phrases = _PHRASE.split(_QUANTITY.sub("\N{NO-BREAK SPACE}", text))
    kept = " ".join([
        each.replace(" ", "\N{NO-BREAK SPACE}") if len(each) <= longest and "  " not in each else each
        for each in phrases
    ])  # fmt: skip
    lines = textwrap.wrap(kept, width, initial_indent=first, subsequent_indent=hang, break_on_hyphens=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _part(part: Part, width: int, there: set[str]) -> Iterator[Line]:
    match part:
        case Table():
            if part.caption:
                yield from _told(Note(part.caption), width)
            yield from table_lines(part, width)
        case Notes():
            for note in part.notes:
                if note.without not in there:
                    yield from _told(note, width, part.first, part.hang)
        case Equations():
            names = [", ".join(each.names) for each in part.equations]
            longest = max(map(layout.places, names), default=0)
            for name, each in zip(names, part.equations, strict=True):
                sign = "=" if each.latex else " "
                yield from _told(Note(f"{name:<{longest}} {sign} {each.text}"), width, hang=" " * (longest + 3))
        case Heading():
            yield from _told(Note(part.text, part.style), width)
        case Curve():
            yield from ([(line, "")] for line in _curve(part, width))
        case _:
            pass


def _told(note: Note, width: int, first: str = "", hang: str = "  ") -> Iterator[Line]:
    yield from ([(line, note.style)] for line in wrapped(layout.printable(note.text + note.code), width, first, hang))


def table_lines(table: Table, width: int) -> list[Line]:
    """A table that takes as many of its steps as it has to."""
    rules = [i for i, row in enumerate(table.rows) if row.role == "total" and i and table.rows[i - 1].role != "total"]
    return layout.table(_fields(table, *_fitted(table, width)), width, rules)


def _fitted(table: Table, width: int) -> tuple[list[int], bool]:
    """The columns that are shown, and whether counts are short."""
    places = table.places(TEXT)
    kept = [i for i in places if table.columns[i].name not in table.optional]
    compact = False
    for step in (None, *table.narrower):
        if step is not None:
            kept = [i for i in kept if table.columns[i].name not in step.drop]
            compact = compact or step.compact
        if layout.needed(_fields(table, kept, compact)) <= width:
            break
    names = [column.name for column in table.columns]
    for name in table.optional:
        more = sorted([*kept, names.index(name)])
        if layout.needed(_fields(table, more, compact)) <= width:
            kept = more
    return kept, compact


def _fields(table: Table, places: Sequence[int], compact: bool) -> list[Field]:
    return [_field(table.columns[i], [(row, i) for row in table.rows], compact) for i in places]


def _field(column: Column, cells: Sequence[tuple[Row, int]], compact: bool) -> Field:
    shown = [_cell(column, row, i, compact) for row, i in cells] or [layout.Cell("")]
    if column.once:
        shown = [cell._replace(text="") if i and cell == shown[i - 1] else cell for i, cell in enumerate(shown)]
    return Field(column.heading, shown, column.right, None if column.kind == "bar" else column.least, column.gap)


def _cell(column: Column, row: Row, index: int, compact: bool) -> layout.Cell:
    cell = row.cell(index)
    style = cell.style or row.style or column.style
    if column.kind == "bar":
        share = cell.value or 0
        bar = layout.bar(share.numerator, share.denominator, column.least or 10) if share else ""
        return layout.Cell(bar, cell.style or column.style or "bar")
    text = cell.mark + show(column.kind, cell.value, column.empty, compact)
    return layout.Cell(layout.printable(text), style, tail=cell.tail)


def _curve(curve: Curve, width: int) -> list[str]:
    """The values as a line of block characters, the maximum per interval; the marks' names below.

    Marks whose names don't fit there are listed on a separate line.
    """
    line = curve.values
    if not line:
        return []
    count = min(width, curve.most, len(line))
    bounds = [i * len(line) // count for i in range(count + 1)]
    highest = [max(line[a:b]) for a, b in pairwise(bounds)]
    top = max(highest)
    bars = "".join(_BLOCKS[min(7, value * 8 // max(top, 1))] for value in highest)
    if not curve.marks:
        return [bars]
    starts = {name: min(first * count // len(line), count - 1) for name, first in curve.marks.items()}
    ends = [start - 1 for start in [*starts.values()][1:]] + [count]
    marks, told = "", True
    for (name, start), end in zip(starts.items(), ends, strict=True):
        if len(name) <= end - start:
            marks = marks.ljust(start) + name
        else:
            told = False
    if told:
        return [bars, marks]
    legend = ", ".join(f"{name} from op {units.exact(first + 1)}" for name, first in curve.marks.items())
    return [bars, *([marks] if marks else []), *textwrap.wrap(legend, min(width, curve.most))]
