"""Sentences on a benchmark: the machine, the accuracy of predictions, noise, and why a prediction is off."""

from __future__ import annotations

from cnncost import units
from cnncost.evaluation import tables
from cnncost.evaluation.bench import GOAL_ERROR, GOAL_ORDER, LARGE, Bench, Figures, is_large
from cnncost.evaluation.join import Joined
from cnncost.report.columns import AT_LEAST
from cnncost.report.prediction_text import ceilings, formula


def head(bench: Bench) -> list[str]:
    """Return lines on the machine, the ceilings, and the formula used for predictions."""
    host = bench.host
    load = "" if host.load is None else f", load {host.load:.1f} at the start"
    return [
        f"{host.processor(bench.on)}: {host.summary(bench.on)}, Python {host.python}{load}; {bench.date}",
        f"predicted with {bench.device.name}: {ceilings(bench.device, None)}",
        formula(bench.device),
    ]


def foot(bench: Bench) -> list[str]:
    """Return lines on accuracy, noise, and the cases that could not be measured or predicted."""
    lines = [accuracy_text(each, bench.on) for each in bench.figures() if each.networks > 1 and bench.whole_zoo]
    lines += [f"{row.name}, {tables.case_name(row)}: {row.measured.status}: {row.measured.note}"
              for row in bench.rows if row.measured.status != "measured"]  # fmt: skip
    lines += [f"{row.name}, {tables.case_name(row)}: no prediction: {row.problem}" for row in bench.rows if row.problem]
    lines += [*left_out(bench), *bench.remarks, *noise(bench)]
    if any(row.case.training for row in bench.rows):
        lines.append("training: forward and backward, without an optimizer; layers' times are those of forward alone")
    if bench.interrupted:
        lines.append("interrupted: only the results up to then are shown")
    return lines


def left_out(bench: Bench) -> list[str]:
    """Return lines on the rows whose predicted time or memory leaves something out."""
    times = [
        f"{row.name}, {tables.case_name(row)}: {AT_LEAST}: without the time of {units.counted(row.unknown_ops, 'op')}, "
        "for which there is no rule or no peak"
        for row in bench.rows
        if row.unknown_ops
    ]
    return times + [
        f"{row.name}, {tables.case_name(row)}: {AT_LEAST}: memory without what an op allocates, which is unknown"
        for row in bench.rows
        if row.memory_partial
    ]


def noise(bench: Bench) -> list[str]:
    """Return lines that say whether the machine was quiet."""
    if not any(row.measured.timing for row in bench.rows):
        return []
    lines = ["noisy while the ceilings were measured: predictions are too slow"] if bench.device.noisy else []
    if not bench.noisy and not lines:
        return ["the machine was quiet: spread, drift and other programs stayed below their limits"]
    if not bench.noisy:
        return lines
    worst = max(bench.noisy, key=lambda row: row.measured.timing.spread if row.measured.timing else 0.0)
    reasons = ", ".join(worst.measured.timing.noise) if worst.measured.timing else ""
    noisy_rows = f"{len(bench.noisy)} of {units.counted(len(bench.rows), 'row')}, marked !"
    name = f"{worst.name}, {tables.case_name(worst)}"
    remedy = "measure again on a quiet machine before relying on these times"
    return [*lines, f"noisy: {noisy_rows}; the worst is {name} ({reasons}); {remedy}"]


def accuracy_text(figures: Figures, on: str) -> str:
    """Return the accuracy for a batch size in words, with the goals for the backend `on`.

    It begins, for example, with `batch 64: Spearman's rank correlation 0.990 over 24 networks (goal ≥ 0.95); …`.
    """
    order = units.NOTHING if figures.order is None else f"{figures.order:.3f}"
    error = units.NOTHING if figures.error is None else f"{figures.error:.0%}"
    error_all = units.NOTHING if figures.error_all is None else f"{figures.error_all:.0%}"
    quiet_error = ""
    if figures.quiet_error is not None and figures.quiet < figures.large:
        quiet_error = f", {figures.quiet_error:.0%} for the {figures.quiet} of these measured on a quiet machine"
    return (
        f"batch {figures.batch or 'as given'}: Spearman's rank correlation {order} over {figures.networks} networks "
        f"(goal ≥ {GOAL_ORDER}); "
        f"median error of predicted time {error} for the {figures.large} above {units.compact(LARGE)} MACs per example "
        f"(goal ≤ {GOAL_ERROR[on]:.0%}){quiet_error}, {error_all} for all"
    )


def layer_notes(row: Joined) -> list[str]:
    """Return a line on whether the layers' times add up to the total, and on the overhead of timing the layers."""
    gap, overhead = row.gap, row.measured.overhead
    lines = []
    if gap is not None and row.case.training:
        lines.append(f"layers are those of the forward pass, {units.percent(1 + gap)} of the step")
    elif gap is not None:
        lines.append(f"layers add up to {units.percent(1 + gap)} of the time end to end")
    if overhead is not None:
        lines.append(f"timing them changed the time of a run by {100 * overhead:+.1f} %".replace("-", "−"))
    return ["; ".join(lines)] if lines else []


def reason(row: Joined) -> str:
    """Return why a prediction may be off: noise, or else a small network and the kind of layer that differs most."""
    timing = row.measured.timing
    if timing is not None and timing.noise:
        return f"the machine was not quiet ({', '.join(timing.noise)})"
    kinds: dict[str, list[float]] = {}  # predicted and measured seconds, and the number of unknown ops
    for layer in row.layers:
        if layer.measured is not None and layer.predicted is not None:
            sums = kinds.setdefault(layer.kind or "modules' own code", [0.0, 0.0, 0])
            sums[0] += layer.predicted.seconds
            sums[1] += layer.measured
            sums[2] += layer.predicted.unknown
    parts = []
    if not is_large(row):
        parts.append(f"below {units.compact(LARGE)} MACs per example")
    if kinds:
        kind, (predicted, measured, unknown) = max(kinds.items(), key=lambda item: abs(item[1][1] - item[1][0]))
        least = AT_LEAST if unknown else ""
        parts.append(
            f"mostly in {kind}: predicted {least}{units.si(predicted, 's')}, measured {units.si(measured, 's')}"
        )
    return "; ".join(parts) or "no layers were timed"
