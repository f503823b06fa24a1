"""The sentences above and below tables: model, inputs, conventions, totals, unknown ops."""

from __future__ import annotations

from collections.abc import Callable

from cnncost import units
from cnncost.render.document import Note
from cnncost.render.values import tensors
from cnncost.report.columns import AT_LEAST, AT_MOST, MARKS, NEITHER, UNKNOWN
from cnncost.report.data import ReportData
from cnncost.report.outline import biggest_name

CONVENTION = "MAC = one multiply-accumulate; FLOP: a MAC is two, plus bias, norm, activation"


def title(report: ReportData) -> str:
    """Return the model's name, followed by its class if they differ."""
    class_name = report.tree[0][1] if report.tree else report.model
    return report.model if class_name == report.model else f"{report.model} ({class_name})"


def inputs(report: ReportData) -> str:
    """Return the inputs, as in `input 1×3×224×224 float32, batch size 1`."""
    texts = [f"{units.shape(shape)} {dtype}" for shape, dtype in report.inputs]
    if report.input_names:
        texts = [f"{name} {text}" for name, text in zip(report.input_names, texts, strict=True)]
    shapes = f"input{'s' if len(texts) > 1 else ''} {', '.join(texts)}" if texts else "no input tensors"
    batch = "no batch axis" if report.batch is None else f"batch size {report.batch}"
    return f"{shapes}, {batch}" + (f"; run on {report.run_on}" if report.run_on else "")


def facts(report: ReportData) -> dict[str, object]:
    """Return what the JSON of every command says about the analyzed model: name, batch size and inputs."""
    return {"model": report.model, "batch": report.batch, "inputs": tensors(report.inputs)}


def remarks(report: ReportData) -> str:
    """Return remarks on the run: a failure, data-dependent control flow, and other notes; may be empty."""
    values = units.counted(report.reads, "value")
    read = f"forward read {values} that it had computed, and which ops ran afterwards may depend on this"
    failure = [report.partial] if report.partial else []
    return "; ".join([*failure, *([read] if report.reads else []), *report.notes, *communication(report)])


def communication(report: ReportData) -> list[str]:
    """Return a sentence for each run about what one rank of a split model sends; empty if the model is not split."""
    lines = []
    for run in dict.fromkeys(each.run for each in report.communication):
        exchanges = [each for each in report.communication if each.run == run]
        counts: dict[tuple[str, str, int], int] = {}
        for each in exchanges:
            key = (each.collective, each.group, each.ranks)
            counts[key] = counts.get(key, 0) + each.calls
        parts = [f"{n} {name} over {group} ({ranks} ranks)" for (name, group, ranks), n in counts.items()]
        total = units.data(sum(each.sent for each in exchanges))
        lines.append(f"one rank of a split model; {run} sends {total} (ring algorithm): {', '.join(parts)}")
    return lines


def parameters(report: ReportData) -> str:
    """Return the number of parameters and buffers, with their bytes."""
    totals, dtypes = report.totals, report.param_dtypes
    if not totals.params:
        text = "no parameters"
    else:
        only = f"{next(iter(dtypes))} " if len(dtypes) == 1 else ""
        parts = [units.counted(totals.params, f"{only}parameter")]
        if len(dtypes) > 1:
            parts[0] += f" ({', '.join(f'{units.exact(count)} {dtype}' for dtype, count in dtypes.items())})"
        parts.append(_trainable(report))
        text = ", ".join([*parts, units.data(totals.param_bytes)])
    if totals.buffers:
        text += f"; {units.counted(totals.buffers, 'buffer element')}, {units.data(totals.buffer_bytes)}"
    return text


def _trainable(report: ReportData) -> str:
    totals = report.totals
    if not totals.frozen_params:
        return "all trainable"
    if not totals.trainable_params:
        return "all frozen"
    return f"{units.exact(totals.trainable_params)} trainable, {units.exact(totals.frozen_params)} frozen"


def costs(report: ReportData) -> str:
    """Return the exact MACs, FLOPs and ops of the forward pass."""
    totals = report.totals
    mark = AT_LEAST if totals.lower_bound else ""
    dtypes = report.mac_dtypes
    # MACs of integers have no FLOPs
    told = len(dtypes) > 1 or any(dtype.startswith(("int", "uint")) for dtype in dtypes)
    each = f" ({', '.join(f'{units.exact(n)} {dtype}' for dtype, n in dtypes.items())})" if told else ""
    return (
        f"{mark}{units.counted(totals.macs, 'MAC')}{each}, {mark}{units.counted(totals.flops, 'FLOP')}"
        f" in {units.counted(totals.ops, 'op')}"
    )


def training(report: ReportData) -> str:
    """Return MACs and FLOPs of a training step, by phase; empty if none was analyzed."""
    totals = report.totals
    if totals.training_macs is None or totals.training_flops is None:
        return ""
    mark = AT_LEAST if totals.training_lower_bound else ""
    phases = ", ".join(f"{row.phase} {units.compact(row.flops)}" for row in report.phases)
    numbers = (
        f"{mark}{units.counted(totals.training_macs, 'MAC')}, {mark}{units.counted(totals.training_flops, 'FLOP')}"
    )
    text = f"training step: {numbers} ({phases})" if phases else f"training step: {numbers}"
    return text + _assumed(report)


def _assumed(report: ReportData) -> str:
    """Return the names of ops whose backward cost is assumed, because their user-defined rule covers only forward."""
    return f"; backward of {', '.join(report.assumed)} assumed to be 2× forward" if report.assumed else ""


def unmasked(report: ReportData) -> str:
    """Return the MACs if attention skips masked pairs, and the tile size; empty unless requested."""
    totals = report.totals
    if totals.macs_unmasked is None:
        return ""
    what = f"tiles of {units.shape(report.mask_tile)} (queries × keys)" if report.mask_tile else "pairs"
    mark = MARKS[totals.lower_bound, totals.mask_unknown]
    signs = {mark}
    text = f"if attention skips masked {what}: {mark}{units.counted(totals.macs_unmasked, 'MAC')}"
    if totals.training_macs_unmasked is not None:
        mark = MARKS[totals.training_lower_bound, totals.training_mask_unknown]
        signs.add(mark)
        text += f", training step {mark}{units.counted(totals.training_macs_unmasked, 'MAC')}"
    return "; ".join([text, *(_MEANINGS[sign](report) for sign in (AT_MOST, NEITHER) if sign in signs)])


def signs(report: ReportData) -> list[Note]:
    """Return notes that explain the signs of a table's numbers, each for a table that has the sign.

    Of lower bounds, `costs` has the sign in any case, and `unknown` explains it; `unmasked` explains its own signs.
    """
    told = {sign for sign in (AT_MOST, NEITHER) if f"{sign}: " in unmasked(report)}
    found = [Note(meaning(report), "note", sign=sign) for sign, meaning in _MEANINGS.items() if sign not in told]
    unfinished = report.totals.lower_bound and not report.unknown
    return [*([Note(f"{AT_LEAST}: at least, as {_UNREACHED}", "note")] if unfinished else []), *found]


def _neither(report: ReportData) -> str:
    """Return why a number is neither bound: because of ops, of masks, or both."""
    totals, causes = report.totals, []
    if report.unknown:
        causes.append("ops without a rule are missing")
    elif totals.lower_bound:
        causes.append(_UNREACHED)
    if totals.mask_unknown or totals.training_mask_unknown:
        causes.append("attention is counted in full where its mask is unknown")
    return f"{NEITHER}: can be larger or smaller, as {', and '.join(causes)}"


_UNREACHED = "what forward did not reach is missing"
_MEANINGS: dict[str, Callable[[ReportData], str]] = {
    AT_MOST: lambda _: f"{AT_MOST}: counted in full if a mask is unknown or attention is written by hand",
    NEITHER: _neither,
    UNKNOWN: lambda _: f"{UNKNOWN}: not known",
}
"""What each sign means, as a sentence."""


def biggest(report: ReportData) -> str:
    """Return the layer with the most MACs, or FLOPs if there are no MACs, and its share; empty if none has FLOPs."""
    layer, totals = report.biggest, report.totals
    if layer is None:
        return ""
    what, part, whole = ("MACs", layer.macs, totals.macs) if totals.macs else ("FLOPs", layer.flops, totals.flops)
    return f"biggest: {biggest_name(report)}, {units.share(part, whole)} of {what}"


def unknown(report: ReportData) -> list[str]:
    """Return a headline and a line for each op without a rule, with count and first module; empty if there are none."""
    if not report.unknown:
        return []
    ops = units.counted(len(report.unknown), "op")
    lines = [f"{ops} without a rule, left out of the sums marked {AT_LEAST}, which are lower bounds:"]
    for op, count in report.unknown.items():
        place = report.unknown_places.get(op, "")
        lines.append(f"{op}, {units.exact(count)}×, first in {place or 'the model itself'}")
    return lines
