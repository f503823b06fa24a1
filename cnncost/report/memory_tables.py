"""The memory of runs as a document: bytes by use at the peak, the modules that hold them, and the timeline."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from cnncost import units
from cnncost.passes.memory import USES, Memory, Peak
from cnncost.passes.workspaces import RawPeak
from cnncost.render.document import Cell, Column, Curve, Document, Heading, Part, Row, Table, data_table, notes
from cnncost.report import exchanges, heading, placement_tables
from cnncost.report.columns import AT_LEAST
from cnncost.report.data import ReportData
from cnncost.report.naming import ITSELF

MEANING = "bytes of tensors that are alive (allocated, not reserved); workspaces of kernels come on top"


class Run(NamedTuple):
    """A run (inference or training) and its memory; a column of the table by use."""

    name: str
    memory: Memory
    raw: RawPeak | None = None
    """The estimated peak with workspaces; None if it was not estimated."""


class MemoryTables(NamedTuple):
    """The contents of the document.

    Attributes:
        report: the model's report.
        runs: inference, training, or both.
        step: description of the training step; empty without one.
        block: the allocator's block size in bytes; sizes are rounded up to multiples of it.
        verdicts: sentences on whether the model fits into the memory of devices.
        kernels: description of the kernels whose workspaces are estimated.
    """

    report: ReportData
    runs: tuple[Run, ...]
    step: str = ""
    block: int = 1
    verdicts: tuple[str, ...] = ()
    kernels: str = ""


def document(tables: MemoryTables, top: int = 8) -> Document:
    """Return a document: bytes by use, the `top` largest holders at each peak, the timelines, and verdicts."""
    parts: list[Part] = [
        notes(*_notes(tables), apart=False),
        _uses(tables),
        notes(_estimated(tables)),
        *exchanges.exchanges(tables.report),
        *placement_tables.tables(tables.report),
        *(part for run in tables.runs for part in (Heading(f"{run.name}: {_at_peak(run.memory)}"), _holders(run, top))),
        *(part for run in tables.runs for part in _timeline(run)),
        notes(*tables.verdicts),
        _all_holders(tables),
    ]
    title, inputs = heading.title(tables.report), heading.inputs(tables.report)
    return Document("memory", title, inputs, "memory", facts=_facts(tables), parts=tuple(parts))


def _facts(tables: MemoryTables) -> dict[str, object]:
    return heading.facts(tables.report) | {
        "step": tables.step,
        "block": tables.block,
        "kernels": tables.kernels,
        "runs": {run.name: _as_json(run) for run in tables.runs},
        "verdicts": tables.verdicts,
        **exchanges.facts(tables.report),
        **placement_tables.facts(tables.report),
    }


def _as_json(run: Run) -> dict[str, object]:
    memory, raw = run.memory, run.raw
    peak = memory.peak
    return {
        "bytes": memory.by_use, "peak": peak.nbytes, "ideal_peak": memory.ideal_peak,
        "peak_at": {"node": peak.node, "op": peak.op, "path": peak.path, "phase": peak.phase},
        "at_peak": peak.by_use, "holders": [holder._asdict() for holder in peak.holders],
        "phases": memory.phases, "timeline": memory.timeline, "unseen": memory.unseen,
        "peak_with_workspaces_estimated": raw._asdict() if raw is not None else None,
    }  # fmt: skip


def _notes(tables: MemoryTables) -> Iterator[str]:
    yield MEANING
    if tables.step:
        yield f"training: {tables.step}"
    if tables.block > 1:
        yield f"sizes are rounded up to multiples of {tables.block} bytes, as by the allocator"
    yield from tables.report.notes
    yield from heading.communication(tables.report)
    if unseen := sorted({name for run in tables.runs for name in run.memory.unseen}):
        yield f"the peaks are lower bounds: what {', '.join(unseen)} allocates while it runs is not known"


def _estimated(tables: MemoryTables) -> str:
    """Return a sentence on the estimated peaks with workspaces and the op at each; empty if none was estimated."""
    peaks = [
        f"{run.name} {AT_LEAST if run.memory.unseen else ''}{units.data(run.raw.nbytes)} "
        f"({run.raw.op} in {run.raw.path or 'the model itself'})"
        for run in tables.runs
        if run.raw is not None and run.raw.node is not None
    ]
    return f"with workspaces, estimated: {', '.join(peaks)}; {tables.kernels}" if peaks else ""


def _uses(tables: MemoryTables) -> Table:
    columns = [Column("use", "at the peak")]
    for run in tables.runs:
        columns.append(Column(run.name, run.name, "bytes", empty=units.NOTHING, gap=3))
        columns.append(Column(f"{run.name}, share", "", "share", gap=1))
    peaks = [run.memory.peak for run in tables.runs]
    marks = [AT_LEAST if run.memory.unseen else "" for run in tables.runs]
    rows = [
        Row((use, *(each for peak in peaks for each in (peak.by_use[use] or None, _share(peak.by_use[use], peak)))))
        for use in USES
    ]
    for label, sums in (
        ("peak", [peak.nbytes for peak in peaks]),
        ("if freed after last use", [run.memory.ideal_peak for run in tables.runs]),
    ):
        cells = [Cell(nbytes, mark) for nbytes, mark in zip(sums, marks, strict=True)]
        rows.append(Row((label, *(each for cell in cells for each in (cell, None))), "total"))
    return Table(tuple(columns), tuple(rows), shown="people")


def _share(nbytes: int, peak: Peak) -> Fraction | None:
    return Fraction(nbytes, peak.nbytes) if nbytes else None


def _at_peak(memory: Memory) -> str:
    """Return the peak, and the op and the module that run then."""
    peak, mark = memory.peak, AT_LEAST if memory.unseen else ""
    if peak.node is None:
        return f"{units.data(peak.nbytes)}; nothing is run"
    return (
        f"{mark}{units.data(peak.nbytes)} while {peak.op} runs in the {peak.phase} of {peak.path or 'the model itself'}"
    )


def _holders(run: Run, top: int) -> Table:
    peak = run.memory.peak
    largest, rest = peak.holders[:top], sum(holder.nbytes for holder in peak.holders[top:])
    most = max((holder.nbytes for holder in largest), default=0)
    rows = [
        Row((path, use, nbytes, _share(nbytes, peak), Fraction(nbytes, most) if most else None))
        for path, use, nbytes in largest
    ]
    if len(peak.holders) > top:  # without a bar: the sum of many holders would dwarf the largest one
        more = f"{units.exact(len(peak.holders) - top)} more"
        rows.append(Row((more, "", rest, _share(rest, peak), None), "rest"))
    columns = (
        Column("path", "held by", empty=ITSELF, least=16),
        Column("use", "use"),
        Column("bytes", "bytes", "bytes"),
        Column("share", "share", "share", empty=units.NOTHING),
        Column("bar", kind="bar", shown="text", least=12, gap=1),
    )
    return Table(columns, tuple(rows), shown="people", apart=False)


def _all_holders(tables: MemoryTables) -> Table:
    """Return the table of all holders at each run's peak, for CSV; in JSON they are among the facts."""
    rows = ((run.name, *holder) for run in tables.runs for holder in run.memory.peak.holders)
    return data_table(("run", "path", "use", "bytes"), rows)


def _timeline(run: Run) -> tuple[Part, ...]:
    memory = run.memory
    curve = Curve(memory.timeline, {str(phase): first for phase, first in memory.phases.items()}, apart=False)
    return (Heading(f"{run.name}, op by op", shown="text"), curve)
