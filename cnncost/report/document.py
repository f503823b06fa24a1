"""The report as a document: one view (the module tree, the layers or the ops), or an HTML page with all three."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace

from cnncost.garbage import gc_disabled
from cnncost.render import document as parts
from cnncost.render import text
from cnncost.render.document import Bar, Cell, Document, Heading, Narrowing, Note, Notes, Row, Table, Tiles, notes
from cnncost.report import heading, placement_tables
from cnncost.report.columns import AT_LEAST, By, Column, for_people, share_cell
from cnncost.report.columns import table as view
from cnncost.report.data import ReportData
from cnncost.report.entries import Entry, entries, page_entries, shortened
from cnncost.report.ranking import Ranking, ranked, sorted_by
from cnncost.report.rows import Statistics, Totals
from cnncost.report.schema import stored

_SHARE = parts.Column("share", "share of MACs", "share", bar=Bar(10, 24, "% of MACs"))


@gc_disabled()
def document(
    report: ReportData, by: By = "layer", depth: int | None = None, requested: Ranking | None = None
) -> Document:
    """Return a view as a document: the FLOP convention, a table with its total, notes, and the ops without a rule.

    Args:
        report: the report.
        by: the view: whether a row is a layer, a module or an op.
        depth: number of levels of the module tree; by default, as many as fit.
        requested: order and number of the rows; None: all, in the model's order.

    Raises:
        CnncostError: there is no such view, or it lacks the column to sort by.
    """
    rows, legend = entries(report, by, depth, requested)
    sum_note = "a module's row is the sum of the rows of the modules in it, and of what it runs itself"
    *remarks, biggest = _remarks(report)
    return Document(
        "summarize",
        heading.title(report),
        headline=f"{heading.title(report)}, {heading.inputs(report)}",
        parts=(
            notes(heading.inputs(report), heading.CONVENTION, listed=False, shown="markup"),
            notes(heading.CONVENTION, style="note", shown="text", apart=False),
            table(report, by, rows, kept=sorted_by(report, by, requested)),
            Notes(
                (*map(Note, [*remarks, biggest, *legend, sum_note if by == "module" else ""]), *heading.signs(report)),
                shown="markup",
            ),
            Notes(
                (*map(Note, remarks), Note(biggest, "biggest"), *(Note(line, "note") for line in legend),
                 *heading.signs(report)),
                shown="text",
            ),
            *_unknown(report),
            *placement_tables.tables(report),
            data(report, by, requested),
        ),
        width=80,
        least=40,
    )  # fmt: skip


def page(report: ReportData, depth: int | None = None, *, whole: bool = True, max_rows: int | None = None) -> Document:
    """Return the document of an HTML page: totals, the module tree and, if `whole`, the ops and the layers.

    The tree is open down to `depth`. Tables have at most `max_rows` rows plus a total; see `shortened`.
    """
    totals, (rows, opened) = report.totals, page_entries(report, depth)
    rows, caption = shortened(rows, max_rows)
    mark = AT_LEAST if totals.lower_bound else ""
    tiles = Tiles((
        ("parameters", "count", Cell(totals.params)), ("MACs", "count", Cell(totals.macs, mark)),
        ("FLOPs", "count", Cell(totals.flops, mark)),
        ("parameters and buffers", "bytes", Cell(totals.param_bytes + totals.buffer_bytes)),
    ))  # fmt: skip
    # only the lines on notes such as `(own)`: the page folds no siblings and has all levels
    legend = [line for line in entries(report, "module", None).legend if line.startswith("(")]
    shown: list[parts.Part] = [
        notes(heading.CONVENTION, listed=False), tiles, *_unknown(report),
        replace(table(report, "module", rows, opened), caption=caption),
        Notes((*map(Note, [*_remarks(report), *legend]), *heading.signs(report))),
        *placement_tables.tables(report),
    ]  # fmt: skip
    views: tuple[tuple[By, str], ...] = (("op", "Ops"), ("layer", "Layers"))
    for by, title in views if whole else ():
        rows, caption = shortened(entries(report, by, None).rows, max_rows)
        shown += [Heading(title), replace(table(report, by, rows), caption=caption)]
    return Document(
        "summarize", heading.title(report), heading.inputs(report), topic="cost", parts=tuple(shown)
    )  # fmt: skip


@gc_disabled()
def to_text(
    report: ReportData, *, by: By = "module", depth: int | None = None, width: int | None = None, color: bool = False,
    encoding: str = "utf-8", requested: Ranking | None = None,
) -> str:  # fmt: skip
    """Return a view as text, by default as wide as the terminal.

    Raises:
        CnncostError: there is no such view, or it lacks the column to sort by.
    """
    content = document(report, by, depth, requested)
    return text.to_text(content, width or shutil.get_terminal_size().columns, color=color, encoding=encoding)


def data(report: ReportData, by: By = "layer", requested: Ranking | None = None) -> Table:
    """Return a view's rows for CSV and pandas: exact numbers, no total.

    Raises:
        CnncostError: there is no such view, or it lacks the column to sort by.
    """
    columns, rows = view(report, by)
    if requested is not None:
        rows = tuple([rows[index] for index in ranked(report, by, requested).order])
    return parts.data_table([column.name for column in columns], ([c.of(row) for c in columns] for row in rows))


def _remarks(report: ReportData) -> list[str]:
    """Return the sentences below a table; some may be empty. The last is about the largest layer."""
    return [
        heading.parameters(report), heading.costs(report), heading.training(report), heading.unmasked(report),
        heading.remarks(report), heading.biggest(report),
    ]  # fmt: skip


def _unknown(report: ReportData) -> Iterator[Notes]:
    """Yield the list of ops without a rule, if there are any."""
    first, *rest = heading.unknown(report) or [""]
    if first:
        warnings = tuple(Note(line, "warning") for line in rest)
        yield Notes(warnings, apart=False, first="  ", hang="    ", intro=Note(first, "warning"))


def table(
    report: ReportData, by: By, rows: Sequence[Entry], opened: int | None = None, *, kept: str = ""
) -> Table:  # fmt: skip
    """Return the table for people, with each row's share of the model's MACs.

    Args:
        report: the report.
        by: the view: whether a row is a layer, a module or an op.
        rows: the displayed rows.
        opened: for an HTML page, the level down to which the tree is initially open; the share is then next to the
            MACs. None for other tables, whose last column is the share.
        kept: the column that rows are sorted by, which narrow terminals drop last.
    """
    shown = for_people(report, by)
    columns = [
        parts.Column(by, by, "code", shown="markup"),
        parts.Column("name", by, "name", shown="text"),
        *(parts.Column(each.name, each.heading, each.look, style="" if each.right else "class", meaning=each.meaning)
          for each in shown),
        _SHARE,
    ]  # fmt: skip
    names = [column.name for column in columns]
    late = [column.name for column in shown if column.name not in _PLANNED and _requested(report, column)]
    steps = _steps(names, [column.name for column in shown if column.look == "text"], report.further, late, kept)
    table_rows = [_row(report, shown, entry) for entry in rows]
    if opened is None:
        return Table(tuple(columns), tuple(table_rows), narrowing=tuple(steps), shown="people")
    columns[1] = columns[1]._replace(shown="all")
    share, after_macs = len(names) - 1, names.index("macs") + 1
    order = [*range(1, after_macs), share, *range(after_macs, share)]  # without column 0, the path in full
    table_rows = [row._replace(cells=tuple([row.cells[i] for i in order])) for row in table_rows]
    return Table(tuple([columns[i] for i in order]), tuple(table_rows), shown="people", open=opened)


def _row(report: ReportData, shown: Sequence[Column], entry: Entry) -> Row:
    marked = entry.style if entry.style in {"biggest", "total"} else ""
    cells = [column.cell(entry.row) for column in shown]
    if not marked:
        cells = [cell._replace(style="zero") if column.right and not column.of(entry.row) else cell
                 for column, cell in zip(shown, cells, strict=True)]  # fmt: skip
    share = share_cell(entry.row, report)._replace(style="" if marked or entry.row.macs else "zero")
    name = Cell(entry.name, "", entry.tail, entry.style, getattr(entry.row, "path", ""))
    # Totals in another row than the last sum up the rows that a ranking leaves out
    role: parts.Role = "total" if entry.style == "total" else "rest" if isinstance(entry.row, Totals) else "row"
    return Row((Cell(entry.full, tail=entry.full_tail), name, *cells, share), role, marked, entry.level)


_PLANNED = frozenset(
    "module layer op name share class kind output_shape count params trainable_params frozen_params buffers macs flops "
    "bytes_read bytes_written receptive_field jump start allocated saved macs_unmasked kernel stride "
    "input_shape".split()
)
"""Columns that `_steps` names. All others are dropped first, so that they hide none of these, unless requested."""


def _requested(report: ReportData, column: Column) -> bool:
    """Return whether the user has requested a column, or the one that it is derived from."""
    # a report has the columns of a group on request only; `trainable` requests columns without a group
    as_trainable = "trainable" in report.further and stored(Statistics, column.name) == "trainable_params"
    return bool(column.group) or as_trainable


def _steps(
    names: Sequence[str], texts: Sequence[str], requested: Sequence[str], late: Sequence[str], kept: str
) -> Iterator[Narrowing]:  # fmt: skip
    """Yield the steps that narrow the table down to 40 characters: which columns to drop or shorten next.

    Args:
        names: all columns.
        texts: columns whose text may be shortened.
        requested: optional columns that the user requested; other columns are dropped before them.
        late: requested columns that no step names; a separate step drops them.
        kept: the column that rows are sorted by, which is dropped last; may be empty.
    """

    def step(*drop: str, compact: bool = False, bar: int = 0, text: int = 0) -> Narrowing:
        least = {"share": bar, **dict.fromkeys(texts, text)}
        dropped = tuple(name for name in drop if name in names and name != kept)
        return Narrowing(dropped, compact, tuple((name, size) for name, size in least.items() if size))

    yield step(*(name for name in names if name not in _PLANNED and name not in late))
    yield step("buffers")
    yield step("bytes_read", "bytes_written")
    yield step(*([] if "trainable" in requested else ["trainable_params"]))
    yield step("frozen_params")
    if "class" in names:
        yield step("kind")
        yield step("output_shape")
    yield step(bar=4, text=12)
    yield step(compact=True, bar=6)
    yield step(bar=4, text=8)
    yield step(*late)
    yield step("class", "kind", "count", bar=4)
    yield step("share")
    for name in ("flops", "input_shape", "trainable_params", "stride", "kernel") if requested else ():
        yield step(name)
    if "receptive_field" in names:
        for name in ("start", "jump", "flops"):
            yield step(name)
    elif "macs_unmasked" in names or "allocated" in names:
        yield step("flops")
        yield step("params")
    if kept in names:
        yield Narrowing((kept,))
