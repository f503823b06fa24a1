"""The report as a table in the terminal, and the same as plain text.

One layout serves both: lines of styled parts. Styles are rendered by rich, which is imported only
for colored output, so that piped output starts faster.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from cnncost.render import layout
from cnncost.render.layout import Cell, Field, Line
from cnncost.render.text import colored, encodable, wrapped
from cnncost.report import heading
from cnncost.report.columns import By, Column, for_people, share_of_macs
from cnncost.report.data import ReportData
from cnncost.report.entries import Entry, entries
from cnncost.report.ranking import Ranking
from cnncost.report.rows import Totals

LEAST_WIDTH = 40
"""Minimum line width, also for narrower terminals."""
_PERCENT, _WIDEST_BAR = 5, 24


class Plan(NamedTuple):
    """One way to fit the table into a width.

    Attributes:
        columns: names of the columns after the name.
        compact: whether counts are short.
        bar: minimum width of the bar; 0 omits the share.
        shrink: minimum width when shortening the class; None: never shorten.
    """

    columns: tuple[str, ...]
    compact: bool = False
    bar: int = 10
    shrink: int | None = None

    def without(self, *columns: str) -> Plan:
        """The same with fewer columns."""
        return self._replace(columns=tuple(name for name in self.columns if name not in columns))


def to_text(
    report: ReportData,
    *,
    by: By = "module",
    depth: int | None = None,
    width: int | None = None,
    color: bool = False,
    encoding: str = "utf-8",
    asked: Ranking | None = None,
) -> str:
    """The report as a table with heading, totals and notes.

    Args:
        report: what to show.
        by: one row per module (a tree), layer (a module call), or op.
        depth: how many levels of the module tree are shown; by default as many as make not more
            than about 60 rows.
        width: no line is longer; by default the terminal's, or 80.
        color: add ANSI escape codes.
        encoding: encoding of the output; ASCII is used if it lacks the layout's characters.
        asked: sort rows of layers or ops, and show the first of them.

    Raises:
        CnncostError: no such `by`, or no such ranking of its rows.
    """
    width = max(LEAST_WIDTH, width or shutil.get_terminal_size().columns)
    shown = entries(report, by, depth, asked)
    written = layout.printable if encodable(encoding) else layout.to_ascii
    lines = [*_head(report, width), [], *table_lines(report, by, shown.rows, width, written), []]
    lines += _notes(report, shown.legend, width)
    styled = [[(written(text), style) for text, style in line] for line in lines]
    return "\n".join((colored if color else layout.plain)(line).rstrip() for line in styled)


def _head(report: ReportData, width: int) -> list[Line]:
    about = f"{layout.printable(heading.title(report))}, {heading.inputs(report)}"
    return [*_wrapped(about, width, "title"), *_wrapped(heading.CONVENTION, width, "note")]


def _wrapped(text: str, width: int, style: str = "", indent: str = "") -> list[Line]:
    return [[(line, style)] for line in wrapped(text, width, indent, indent + "  ")]


def table_lines(
    report: ReportData, by: By, rows: list[Entry], width: int, written: Callable[[str], str] = layout.printable
) -> list[Line]:
    """Rows, ending with a total, as a table fitted to the width; `written` sanitizes texts."""
    known = {column.name: column for column in for_people(report, by)}
    name = Field(by, [_name(row, written) for row in rows], least=max(12, min(36, 3 * width // 10)))
    fields, plan = [name], Plan(())
    for plan in _plans(tuple(known), report.further):
        fields = [name, *(_field(rows, known[each], plan, written) for each in plan.columns)]
        share = layout.GAP + _PERCENT + 1 + plan.bar if plan.bar else 0
        if layout.needed(fields) + share <= width:
            break
    if plan.bar:
        left = width - sum(field.width + layout.GAP for field in fields) - _PERCENT - 1
        fields += _share(rows, report, max(plan.bar, min(left, _WIDEST_BAR)))
    return layout.table(fields, width, rules=[len(rows) - 1])


_PLANNED = frozenset(
    "class kind output_shape count params trainable_params frozen_params buffers macs flops bytes_read bytes_written "
    "receptive_field jump start allocated saved macs_unmasked kernel stride input_shape".split()
)
"""Columns that the plans below handle; any other is dropped early."""


def _plans(columns: tuple[str, ...], asked: tuple[str, ...] = ()) -> Iterator[Plan]:
    """Layout plans, the most detailed first; the last one fits `LEAST_WIDTH`. Columns that were asked for go late."""
    plan = Plan(columns)
    yield plan
    others = tuple(name for name in columns if name not in _PLANNED)
    told = () if "trainable" in asked else ("trainable_params",)
    for dropped in (("buffers",), others, ("bytes_read", "bytes_written"), told, ("frozen_params",)):
        yield (plan := plan.without(*dropped))
    if "class" in plan.columns:
        yield (plan := plan.without("kind"))
        yield (plan := plan.without("output_shape"))
    yield plan._replace(bar=4, shrink=12)
    plan = plan._replace(compact=True)
    yield plan._replace(bar=6)
    yield plan._replace(bar=4, shrink=8)
    plan = plan.without("class", "kind", "count")
    yield plan._replace(bar=4)
    yield (plan := plan._replace(bar=0))
    if asked:
        for dropped in (("flops",), ("input_shape",), ("trainable_params",), ("stride",), ("kernel",)):
            yield (plan := plan.without(*dropped))
    if "macs_unmasked" in plan.columns and "receptive_field" not in plan.columns:
        yield plan.without("flops")._replace(bar=0)
    if "receptive_field" in plan.columns:
        yield (plan := plan.without("start")._replace(bar=0))
        yield (plan := plan.without("jump"))
        yield plan.without("flops")


def _name(entry: Entry, written: Callable[[str], str]) -> Cell:
    return Cell(written(entry.name), entry.style, entry.lead, entry.tail)


def _field(rows: Sequence[Entry], column: Column, plan: Plan, written: Callable[[str], str]) -> Field:
    cells = [Cell(written(column.show(row.row, compact=plan.compact)), _style(row, column)) for row in rows]
    return Field(column.heading, cells, column.right, plan.shrink if column.look == "text" else None)


def _style(entry: Entry, column: Column) -> str:
    if entry.style in {"biggest", "total"}:
        return entry.style
    if not column.right:
        return "class"
    return "" if column.of(entry.row) else "zero"


def _share(rows: Sequence[Entry], report: ReportData, width: int) -> list[Field]:
    """Percentage of all MACs, and a bar scaled to the largest row."""
    largest = max((row.row.macs for row in rows if not isinstance(row.row, Totals)), default=0)
    percents, bars = [], []
    for entry in rows:
        row, marked = entry.row, entry.style in {"biggest", "total"}
        percents.append(Cell(share_of_macs(row, report), entry.style if marked else "" if row.macs else "zero"))
        bar = "" if isinstance(row, Totals) else layout.bar(row.macs, largest, width)
        bars.append(Cell(bar, "biggest" if marked else "bar"))
    headings = ("share", "of MACs") if width >= len("of MACs") else ("% of", "MACs")
    return [Field(headings[0], percents, right=True), Field(headings[1], bars, gap=1)]


def _notes(report: ReportData, legend: list[str], width: int) -> list[Line]:
    """Exact totals, the biggest layer, the legend, and unknown ops."""
    texts = [
        (heading.held(report), ""),
        (heading.computed(report), ""),
        (heading.training(report), ""),
        (heading.masked(report), ""),
        (heading.reads(report), ""),
    ]
    texts += [(heading.biggest(report), "biggest"), *((text, "note") for text in legend)]
    first, *rest = heading.unknown(report) or [""]
    lines = [line for text, style in [*texts, (first, "warning")] for line in _wrapped(text, width, style)]
    for text in rest:
        lines.extend(_wrapped(layout.printable(text), width, "warning", "  "))
    return lines
