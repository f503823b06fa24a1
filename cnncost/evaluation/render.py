"""A benchmark as text for the terminal, and as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from cnncost import units
from cnncost.evaluation import tables
from cnncost.evaluation.bench import GOAL_ERROR, GOAL_ORDER, LARGE, Bench, Figures
from cnncost.evaluation.join import Joined
from cnncost.render import layout
from cnncost.render.layout import Field
from cnncost.report.formula import wrapped
from cnncost.report.prediction_text import ceilings, formula

COLUMNS = (
    "network", "batch", "dtype", "training", "compiled", "status", "measured_s", "q1_s", "q3_s", "best_s", "repeats",
    "noise", "predicted_s", "error", "bound", "macs", "flops", "bytes", "flops_per_s", "bytes_per_s", "of_peak",
    "examples_per_s", "layers_sum_s", "layers_gap", "timing_overhead", "peak_memory", "predicted_memory", "page_faults",
    "note",
)  # fmt: skip


def to_text(bench: Bench, width: int, top: int) -> str:
    """The machine, a row for each case, the layers of each case if there are few, and what is to be said of it."""
    rows = bench.rows
    lines = [line for text in head(bench) for line in wrapped(text, "", width)]
    if not rows:
        return "\n".join([*lines, "", *foot(bench)])
    lines += ["", *_table(tables.cases(bench, rows), width)]
    with_layers = [row for row in rows if row.measured.layers and row.prediction]
    if top and len(with_layers) <= 3:
        for row in with_layers:
            lines += ["", f"{row.name}, {tables.case_name(row)}: layers", *_table(tables.layers(row, top), width)]
            lines += [line for text in layer_notes(row) for line in wrapped(text, "", width)]
    lines += ["", *(line for text in foot(bench) for line in wrapped(text, "", width))]
    return "\n".join(lines)


def _table(fields: list[Field], width: int) -> Iterator[str]:
    """Fitted by leaving out the last columns."""
    while layout.needed(fields) > width and len(fields) > 4:
        fields = fields[:-1]
    return map(layout.plain, layout.table(fields, width))


def head(bench: Bench) -> list[str]:
    """The machine, its ceilings, the formula."""
    host = bench.host
    load = "" if host.load is None else f", load {host.load:.1f} at the start"
    return [
        f"{host.processor(bench.on)}: {host.summary(bench.on)}, Python {host.python}{load}; {bench.date}",
        f"predicted with {bench.device.name}: {ceilings(bench.device, None)}",
        formula(bench.device),
    ]


def foot(bench: Bench) -> list[str]:
    """How good the predictions are, what is noise, what could not be measured."""
    lines = [figure(found, bench.on) for found in bench.figures() if found.networks > 1 and bench.whole_zoo]
    lines += [f"{row.name}, {tables.case_name(row)}: {row.measured.status}: {row.measured.note}"
              for row in bench.rows if row.measured.status != "measured"]  # fmt: skip
    lines += [f"{row.name}, {tables.case_name(row)}: no prediction: {row.problem}" for row in bench.rows if row.problem]
    lines += [*bench.remarks, *noise(bench)]
    if any(row.case.training for row in bench.rows):
        lines.append("training: forward and backward, without an optimizer's step; the layers' times are forward's")
    if bench.interrupted:
        lines.append("interrupted: what was done until then is above")
    return lines


def noise(bench: Bench) -> list[str]:
    """Remark on a machine that was not quiet."""
    if not any(row.measured.timing for row in bench.rows):
        return []
    lines = ["noisy while the ceilings were measured: predictions are too slow"] if bench.device.noisy else []
    if not bench.noisy and not lines:
        return ["the machine was quiet: spread, drift and other programs stayed below their limits"]
    if not bench.noisy:
        return lines
    worst = max(bench.noisy, key=lambda row: row.measured.timing.spread if row.measured.timing else 0.0)
    reasons = ", ".join(worst.measured.timing.noise) if worst.measured.timing else ""
    found = f"{len(bench.noisy)} of {units.counted(len(bench.rows), 'row')}, marked !"
    name = f"{worst.name}, {tables.case_name(worst)}"
    again = "measure again on a quiet machine before you lean on it"
    return [*lines, f"noisy: {found}; the worst is {name} ({reasons}); {again}"]


def figure(found: Figures, on: str) -> str:
    """`batch 64: Spearman 0.99 over 24 networks (goal 0.95); median error 12 % of 17 above 100 M MACs (goal 30 %)`."""
    order = units.NOTHING if found.order is None else f"{found.order:.3f}"
    error = units.NOTHING if found.error is None else f"{found.error:.0%}"
    everywhere = units.NOTHING if found.error_all is None else f"{found.error_all:.0%}"
    quietly = (
        f", {found.quiet_error:.0%} of the {found.quiet} measured quietly" if found.quiet_error is not None else ""
    )
    return (
        f"batch {found.batch or 'as given'}: order of {found.networks} networks: Spearman {order} "
        f"(goal ≥ {GOAL_ORDER}); "
        f"median error of predicted time {error} of the {found.large} above {units.compact(LARGE)} MACs "
        f"(goal ≤ {GOAL_ERROR[on]:.0%}){quietly if found.quiet < found.large else ''}, {everywhere} of all"
    )


def layer_notes(row: Joined) -> list[str]:
    """Whether the layer times add up to the total, and the overhead of timing them."""
    gap, overhead = row.gap, row.measured.overhead
    lines = []
    if gap is not None and row.case.training:
        lines.append(f"layers are those of the forward pass, {units.percent(1 + gap)} of the step")
    elif gap is not None:
        lines.append(f"layers add up to {units.percent(1 + gap)} of the time end to end")
    if overhead is not None:
        lines.append(f"timing them changed the time of a run by {100 * overhead:+.1f} %".replace("-", "−"))
    return ["; ".join(lines)] if lines else []


def to_csv(bench: Bench) -> str:
    """A row for each case; seconds, bytes, exact counts."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in bench.rows:
        writer.writerow(_plain(bench, row))
    return out.getvalue()


def to_json(bench: Bench) -> str:
    """Everything, with each layer."""
    data = {
        "schema": 1, "date": bench.date, "seconds": bench.seconds, "on": bench.on, "host": asdict(bench.host),
        "device": asdict(bench.device), "interrupted": bench.interrupted, "remarks": bench.remarks,
        "figures": [found._asdict() for found in bench.figures()],
        "rows": [_plain(bench, row) | {"layers": [_layer(each) for each in row.layers]} for row in bench.rows],
    }  # fmt: skip
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _layer(row: Any) -> dict[str, Any]:
    predicted = row.predicted
    return {
        "label": row.label, "class": row.class_name, "kind": row.kind, "measured_s": row.measured,
        "predicted_s": predicted.seconds if predicted else None, "bound": predicted.bound if predicted else None,
        "flops": predicted.flops if predicted else None, "bytes": predicted.nbytes if predicted else None,
    }  # fmt: skip


def _plain(bench: Bench, row: Joined) -> dict[str, Any]:
    timing, case, flops, nbytes = row.measured.timing, row.case, row.flops, row.nbytes
    peak = bench.device.flops.get(case.dtype)
    reached = flops / row.seconds if flops is not None and row.seconds else None
    values = (
        row.name, case.batch, case.dtype, case.training, case.compiled, row.measured.status, row.seconds,
        timing.q1 if timing else None, timing.q3 if timing else None, timing.best if timing else None,
        timing.repeats if timing else None, "; ".join(timing.noise) if timing else None,
        row.predicted_seconds, row.error, row.prediction.roofline.total.bound if row.prediction else None,
        row.report.totals.macs if row.report else None, flops, nbytes, reached,
        nbytes / row.seconds if nbytes is not None and row.seconds else None,
        reached / peak if reached is not None and peak else None, row.per_second,
        sum(row.measured.layers.values()) if row.measured.layers else None, row.gap, row.measured.overhead,
        row.measured.peak_memory, row.predicted_memory, row.measured.faults, row.measured.note or row.problem,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))
