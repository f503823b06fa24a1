"""The memory of a run as tables: bytes by use at the peaks, the holders, and the timeline."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from itertools import pairwise
from textwrap import wrap
from typing import NamedTuple

from cnncost import units
from cnncost.passes.memory import USES, Memory
from cnncost.passes.workspaces import RawPeak
from cnncost.render import layout
from cnncost.render.layout import Cell, Field
from cnncost.report import heading
from cnncost.report.data import ReportData

MEANING = "bytes of tensors that are alive (allocated, not reserved); workspaces of kernels come on top"
_BLOCKS = "▁▂▃▄▅▆▇█"


class Run(NamedTuple):
    """One column of the tables: a run and its memory."""

    name: str
    memory: Memory
    raw: RawPeak | None = None
    """The peak with workspaces, estimated."""


class MemoryTables(NamedTuple):
    """Input of the renderers.

    Attributes:
        report: the model's report.
        runs: inference, training, or both.
        step: description of the training step; empty without one.
        block: sizes are rounded up to a multiple of this many bytes.
        kernels: description of the kernels with estimated workspaces.
        verdicts: statements on what fits into memory.
    """

    report: ReportData
    runs: tuple[Run, ...]
    step: str = ""
    block: int = 1
    verdicts: tuple[str, ...] = ()
    kernels: str = ""


def to_text(tables: MemoryTables, width: int, top: int = 8) -> str:
    """Text fitted to a width: the table of uses, the largest holders, the timeline."""
    about = [f"{layout.printable(heading.title(tables.report))}, {heading.inputs(tables.report)}", *_notes(tables)]
    lines = [line for text in about for line in wrap(text, width, subsequent_indent="  ")] + [""]
    lines += [layout.plain(line) for line in layout.table(_uses(tables), width, rules=(len(USES),))]
    if estimate := _estimated(tables):
        lines += ["", *wrap(estimate, width, subsequent_indent="  ")]
    for run in tables.runs:
        lines += ["", *wrap(f"{run.name}: {_where(run.memory)}", width, subsequent_indent="  ")]
        lines += [layout.plain(line) for line in layout.table(_holders(run.memory, top), width)]
    for run in tables.runs:
        lines += ["", f"{run.name}, op by op", *_curve(run.memory, min(width, 100))]
    if tables.verdicts:
        lines += ["", *(line for text in tables.verdicts for line in wrap(text, width, subsequent_indent="  "))]
    return "\n".join(line.rstrip() for line in lines)


def to_markdown(tables: MemoryTables, top: int = 8) -> str:
    """The same as markdown, without the timeline."""
    lines = [f"# {heading.title(tables.report)}: memory", "", f"{heading.inputs(tables.report)}."]
    lines += [f"{note[0].upper()}{note[1:]}." for note in _notes(tables)]
    lines += ["", *_markdown(_uses(tables))]
    if estimate := _estimated(tables):
        lines += ["", f"{estimate[0].upper()}{estimate[1:]}."]
    for run in tables.runs:
        lines += ["", f"## {run.name}", "", f"Peak: {_where(run.memory)}.", "", *_markdown(_holders(run.memory, top))]
    if tables.verdicts:
        lines += ["", *tables.verdicts]
    return "\n".join(lines) + "\n"


def to_csv(tables: MemoryTables) -> str:
    """One row per use and module at each peak: exact bytes."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["run", "path", "use", "bytes"])
    for run in tables.runs:
        for holder in run.memory.peak.holders:
            writer.writerow([run.name, holder.path, holder.use, holder.nbytes])
    return file.getvalue()


def to_json(tables: MemoryTables) -> str:
    """All exact figures and the timeline."""
    data = {
        "schema": 1,
        "model": tables.report.model,
        "inputs": [{"shape": shape, "dtype": dtype} for shape, dtype in tables.report.inputs],
        "step": tables.step,
        "block": tables.block,
        "kernels": tables.kernels,
        "runs": {run.name: _as_json(run) for run in tables.runs},
        "verdicts": tables.verdicts,
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


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
        yield f"sizes are rounded up to {tables.block} bytes, as the allocator does"
    if unseen := sorted({name for run in tables.runs for name in run.memory.unseen}):
        yield f"the peaks are lower bounds: what {', '.join(unseen)} allocates while it runs is not known"


def _estimated(tables: MemoryTables) -> str:
    """The estimated peaks with workspaces, and the op at each."""
    found = [
        f"{run.name} {units.data(run.raw.nbytes)} ({run.raw.op} in {run.raw.path or 'the model itself'})"
        for run in tables.runs
        if run.raw is not None and run.raw.node is not None
    ]
    return f"with workspaces, estimated: {', '.join(found)}; {tables.kernels}" if found else ""


def _uses(tables: MemoryTables) -> list[Field]:
    names = [*USES, "peak", "if freed after last use"]
    fields = [Field("at the peak", [Cell(name) for name in names])]
    for run in tables.runs:
        peak = run.memory.peak
        numbers = [peak.by_use[use] for use in USES]
        cells = [Cell(units.data(n) if n else units.NOTHING) for n in numbers]
        shares = [units.share(n, peak.nbytes) if n else "" for n in numbers]
        cells += [Cell(units.data(peak.nbytes)), Cell(units.data(run.memory.ideal_peak))]
        fields += [
            Field(run.name, cells, right=True, gap=3),
            Field("", [Cell(share) for share in [*shares, "", ""]], right=True, gap=1),
        ]
    return fields


def _where(memory: Memory) -> str:
    peak = memory.peak
    if peak.node is None:
        return f"{units.data(peak.nbytes)}; nothing is run"
    return f"{units.data(peak.nbytes)} while {peak.op} runs in the {peak.phase} of {peak.path or 'the model itself'}"


def _holders(memory: Memory, top: int) -> list[Field]:
    largest = memory.peak.holders[:top]
    rest = memory.peak.holders[top:]
    whole = memory.peak.nbytes
    names = [layout.printable(holder.path) or "(the model itself)" for holder in largest]
    uses, sizes = [holder.use for holder in largest], [holder.nbytes for holder in largest]
    bars = [layout.bar(size, max(sizes), 12) for size in sizes]
    if rest:
        bars.append("")  # the sum of many holders would dwarf the largest
        names.append(f"{units.exact(len(rest))} more")
        uses.append("")
        sizes.append(sum(holder.nbytes for holder in rest))
    return [
        Field("held by", [Cell(name) for name in names], least=16),
        Field("use", [Cell(use) for use in uses]),
        Field("bytes", [Cell(units.data(size)) for size in sizes], right=True),
        Field("share", [Cell(units.share(size, whole)) for size in sizes], right=True),
        Field("", [Cell(bar) for bar in bars], gap=1),
    ]


def _curve(memory: Memory, width: int) -> list[str]:
    """The timeline as a line of block characters, the maximum per interval; phase starts below.

    Phases whose names don't fit there are listed on a separate line.
    """
    line = memory.timeline
    if not line:
        return []
    count = min(width, len(line))
    bounds = [i * len(line) // count for i in range(count + 1)]
    highest = [max(line[a:b]) for a, b in pairwise(bounds)]
    top = max(highest)
    bars = "".join(_BLOCKS[min(7, value * 8 // max(top, 1))] for value in highest)
    starts = {phase: min(first * count // len(line), count - 1) for phase, first in memory.phases.items()}
    ends = [start - 1 for start in [*starts.values()][1:]] + [count]
    marks, told = "", len(starts) > 0
    for (phase, start), end in zip(starts.items(), ends, strict=True):
        if len(phase) <= end - start:
            marks = marks.ljust(start) + phase
        else:
            told = False
    if told or not starts:
        return [bars, marks]
    legend = ", ".join(f"{phase} from op {units.exact(first + 1)}" for phase, first in memory.phases.items())
    return [bars, *([marks] if marks else []), *wrap(legend, width)]


def _markdown(fields: list[Field]) -> Iterator[str]:
    fields = [field for field in fields if field.heading]
    yield "| " + " | ".join(field.heading for field in fields) + " |"
    yield "|" + "|".join("---:" if field.right else "---" for field in fields) + "|"
    for cells in zip(*(field.cells for field in fields), strict=True):
        yield "| " + " | ".join(cell.text.replace("|", "\\|") for cell in cells) + " |"
