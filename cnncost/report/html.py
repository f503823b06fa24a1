"""The report as one self-contained HTML page without scripts.

The module tree consists of nested `details` elements, which expand and collapse without scripts; its rows are
grids with the same columns. Ops and layers are plain tables that can be copied into a spreadsheet.
"""

from __future__ import annotations

from collections.abc import Iterator

from cnncost import units
from cnncost.render.html import escaped, listed, page, table_lines, tag
from cnncost.render.html_style import FRAGMENT
from cnncost.render.layout import places
from cnncost.report import heading
from cnncost.report.columns import AT_LEAST, By, Column, Row, for_people, share_of_macs
from cnncost.report.data import ReportData
from cnncost.report.document import remarks, table
from cnncost.report.entries import ROWS, entries, holder, note
from cnncost.report.outline import Item, depth_of, fitting_depth, outline, visible

_NAME_WIDTH, _CLASS_WIDTH = 44, 24
"""In characters; longer texts are truncated and shown in full on hover."""


def to_html(report: ReportData, *, depth: int | None = None) -> str:
    """One self-contained page: heading, totals, the module tree open down to `depth`, ops, layers."""
    body = [*_body(report, depth, level="h1"), *_table(report, "op", "Ops"), *_table(report, "layer", "Layers")]
    return page(f"{heading.title(report)}: cost", body)


def _table(report: ReportData, by: By, title: str) -> Iterator[str]:
    """A view as a plain table under its own heading."""
    yield tag("h2", title)
    yield from table_lines(table(report, by, entries(report, by, None).rows))


def fragment(report: ReportData) -> str:
    """Heading, totals and module tree, for a notebook."""
    body = "\n".join(_body(report, None, level="h3"))
    return f'<style>{FRAGMENT}</style>\n<div class="cnncost">\n{body}\n</div>\n'


def _body(report: ReportData, depth: int | None, level: str) -> Iterator[str]:
    yield tag(level, heading.title(report))
    yield tag("p", heading.inputs(report))
    yield tag("p", heading.CONVENTION, "soft")
    yield from _totals(report)
    first, *rest = heading.unknown(report) or [""]
    if first:
        yield f'<div class="unknown"><b>{escaped(first)}</b>{listed(rest)}</div>'
    yield from _Tree(report, depth).lines()
    legend = [text for text in entries(report, "module", None).legend if text.startswith("(")]
    yield listed([*remarks(report), *legend])


def _totals(report: ReportData) -> Iterator[str]:
    totals = report.totals
    mark = AT_LEAST if totals.lower_bound else ""
    numbers = [
        ("parameters", "", totals.params), ("MACs", mark, totals.macs), ("FLOPs", mark, totals.flops),
    ]  # fmt: skip
    yield '<div class="totals">'
    for name, sign, number in numbers:
        exact = f'<span class="soft">{sign}{units.exact(number)}</span>' if number >= 1000 else ""
        yield f'<div><span class="soft">{name}</span><b>{sign}{units.compact(number)}</b>{exact}</div>'
    size = units.data(totals.param_bytes + totals.buffer_bytes)
    yield f'<div><span class="soft">parameters and buffers</span><b>{size}</b></div>'
    yield "</div>"


class _Tree:
    """The module tree of one report as nested `details`."""

    def __init__(self, report: ReportData, depth: int | None) -> None:
        self.report, self.columns = report, for_people(report, "module")
        self.items = outline(report, fold=False)
        self.open = fitting_depth(self.items, ROWS) if depth is None else depth
        self.shown = [item for item, _ in visible(self.items, depth_of(self.items))]
        self.biggest = holder(self.shown, report)
        self.largest = max((item.row.macs for item in self.shown), default=0)

    def lines(self) -> Iterator[str]:
        yield f'<div class="scroll"><div class="tree" style="--columns: {self._widths()}">'
        heads = [_span(c.heading, "n" if c.right else "", c.meaning) for c in self.columns]
        yield f'<div class="row head">{_span("module", "name")}{self._cells(heads, _span("share of MACs"))}</div>'
        for item in self.items:
            yield from self._item(item, 0)
        totals = self.report.totals
        cells = [_span(c.show(totals), "n" if c.right else "") for c in self.columns]
        share = f'<span class="share">{_span(share_of_macs(totals, self.report), "n")}</span>'
        yield f'<div class="row foot">{_span("total", "name")}{self._cells(cells, share)}</div>'
        yield "</div></div>"

    def _cells(self, cells: list[str], share: str) -> str:
        return "".join(self._with_share(cells, share))

    def _with_share(self, cells: list[str], share: str) -> list[str]:
        """Insert the share after the MACs column."""
        after = [column.name for column in self.columns].index("macs") + 1
        return [*cells[:after], share, *cells[after:]]

    def _widths(self) -> str:
        """Fixed column widths: each row is a separate CSS grid, so widths can't adapt across rows."""
        names = max((places(item.name + note(item.row)) + 2 * item.row.depth for item in self.shown), default=0)
        rows: list[Row] = [*(item.row for item in self.shown), self.report.totals]
        widths = [max(places(c.heading), *(places(c.show(row)) for row in rows)) for c in self.columns]
        columns = self._with_share([f"{min(width, _CLASS_WIDTH) + 1}ch" for width in widths], "11rem")
        return f"{min(_NAME_WIDTH, names + 6)}ch {' '.join(columns)}"

    def _item(self, item: Item, level: int) -> Iterator[str]:
        big = " big" if item is self.biggest else ""
        row = self._row(item, level)
        if not item.children:
            yield f'<div class="row{big}">{row}</div>'
            return
        yield f'<details{" open" if level + 1 < self.open else ""}><summary class="row{big}">{row}</summary>'
        for child in item.children:
            yield from self._item(child, level + 1)
        yield "</details>"

    def _row(self, item: Item, level: int) -> str:
        extra = note(item.row)
        tail = f'<span class="note">{escaped(extra)}</span>' if extra else ""
        full, short = escaped(item.paths[0]), escaped(item.name)
        name = f'<span class="name" style="--level: {level}" title="{full}">{short}{tail}</span>'
        cells = [_span(column.show(item.row), _classes(column, item.row)) for column in self.columns]
        return name + self._cells(cells, self._share(item))

    def _share(self, item: Item) -> str:
        text = share_of_macs(item.row, self.report)
        part = 1000 * item.row.macs // self.largest if self.largest else 0
        bar = f'<span class="bar" style="--part: {part / 10:g}%"></span>' if part else ""
        return f'<span class="share">{_span(text, "n" if item.row.macs else "n zero")}{bar}</span>'


def _span(text: str, css: str = "", title: str = "") -> str:
    return tag("span", text, css, title)


def _classes(column: Column, row: Row) -> str:
    if not column.right:
        return "class"
    return "n" if column.of(row) else "n zero"
