"""Formats a Prediction as a document, and the time formulas of a module's ops as text."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from cnncost import units
from cnncost.devices.model import FORMATS, Device
from cnncost.passes.roofline import OpTime, Predicted
from cnncost.render.document import Cell, Column, Document, Note, Notes, Role, Table, notes
from cnncost.render.document import Row as DocumentRow
from cnncost.render.values import as_data
from cnncost.report import heading, link_text
from cnncost.report.columns import AT_LEAST, AT_MOST, NEITHER
from cnncost.report.formula import wrapped
from cnncost.report.prediction import By, Prediction, Row, Training, TrainingEstimate, forward_time, times_of, top_rows


def document(prediction: Prediction, by: By = "layer", top: int | None = None) -> Document:
    """Return a document with ceilings, formula, rows and total; with `top`, only the `top` slowest rows are listed."""
    report, roofline = prediction.report, prediction.roofline
    computed_in = "" if roofline.dtype is None else f", computed in {roofline.dtype}"
    return Document(
        "roofline",
        heading.title(report),
        heading.inputs(report) + computed_in,
        "roofline",
        facts=_facts(prediction),
        parts=(
            notes(f"on {ceilings(roofline.device, roofline.dtype)}", formula(roofline.device), apart=False, hang=""),
            _table(prediction, by, top),
            notes(*footer(prediction), hang=""),
            Notes(_SIGNS, apart=False, hang=""),
            *link_text.parts(prediction),
        ),
    )


def _facts(prediction: Prediction) -> dict[str, Any]:
    roofline = prediction.roofline
    device = roofline.device
    data: dict[str, Any] = heading.facts(prediction.report) | {
        "device": {"name": device.name, "title": device.title, "flops": device.flops, "bandwidth": device.bandwidth,
                   "launch": device.launches, "source": device.source, "measured": device.measured},
        "dtype": roofline.dtype, "formula": formula(device), "unknown_ops": roofline.unknown,
        "unknown_products": roofline.missing,
        **link_text.facts(prediction),
        "total": _plain(roofline.total), "phases": {name: _plain(each) for name, each in roofline.phases.items()},
    }  # fmt: skip
    if prediction.training is not None:
        assumed, estimate = prediction.training
        data["training"] = {**assumed._asdict(), **estimate._asdict()}
    return data


def _table(prediction: Prediction, by: By, top: int | None) -> Table:
    shown, rest = top_rows(prediction, by, top)
    total = prediction.roofline.total
    slowest = max((row.predicted.seconds for row in [*shown, *([rest] if rest else [])]), default=0.0)
    columns = (
        Column("name", "module" if by == "layer" else by, empty="(own)", least=16),
        Column("class", "class", shown="all" if by == "layer" else "data", least=8),
        Column("ops", kind="count", shown="data"),
        Column("flops", "FLOPs", "compact"),
        Column("bytes", "bytes", "bytes"),
        Column("intensity", "FLOP/B", "ratio", empty=units.NOTHING),
        Column("bound", "bound"),
        Column("seconds", "time", "duration"),
        Column("share", "share", "percent", "people", units.NOTHING),
        *(Column(name, kind="seconds", shown="data") for name in _CEILINGS),
        Column("unknown", kind="count", shown="data"),
        *((Column("bar", kind="bar", shown="text", least=10),) if slowest else ()),
    )

    # a bar's length is a fraction of the longest bar
    def row(each: Row, role: Role) -> DocumentRow:
        data, seconds = _plain(each.predicted), each.predicted.seconds
        share = seconds / total.seconds if total.seconds and (seconds or not each.predicted.unknown) else None
        bar = Fraction(round(1e6 * seconds / slowest), 10**6) if slowest and role != "total" else None
        values = {"name": each.name, "class": each.class_name, "share": share, "bar": bar, **data}
        marks = _marks(each.predicted, total, role)
        values |= {name: Cell(values[name], mark) for name, mark in marks.items() if values[name] not in {None, ""}}
        return DocumentRow(tuple(values[column.name] for column in columns), role)

    rows = [row(each, "row") for each in shown] + ([row(rest, "rest")] if rest else [])
    rows.append(row(Row("total", "", total), "total"))
    return Table(columns, tuple(rows), "rows", optional=("bar",) if slowest else ())


def _marks(each: Predicted, total: Predicted, role: Role) -> dict[str, str]:
    """Return the signs of a row's numbers, by column, because of what its times or the total leave out."""
    marks = {"share": AT_MOST} if total.unknown and role != "total" else {}
    if each.unknown:
        marks = {"seconds": AT_LEAST, "bound": NEITHER, "share": "" if role == "total" else NEITHER}
    if each.leaves_out_ops:
        marks |= {"flops": AT_LEAST, "bytes": AT_LEAST, "intensity": NEITHER}
    return marks


_SIGNS = (
    Note(f"{AT_LEAST}: at least, without what is left out", sign=AT_LEAST),
    Note(f"{AT_MOST}: at most, as the total leaves out times", sign=AT_MOST),
    Note(f"{NEITHER}: may be different, as what is left out may change it", sign=NEITHER),
)
_CEILINGS = tuple(
    f"{ceiling}{which}_seconds" for which in ("", "_bound") for ceiling in ("compute", "memory", "launch")
)
"""For each ceiling, the seconds of all ops if it were the only ceiling, and the seconds of the ops that it bounds."""


def explain(prediction: Prediction, path: str) -> str:
    """Return the time formula, with its numbers, of each op that a module's first call runs itself.

    Raises:
        CnncostError: no module has this path.
    """
    device = prediction.roofline.device
    lines = [f"{path or prediction.report.model} on {device.title}"]
    for name, time in times_of(prediction, path):
        if time is None:
            lines.append(f"  {name}: time unknown")
            continue
        if not time.seconds and not time.nbytes:
            lines.append(f"  {name}: free; it moves and computes nothing")
            continue
        lacking = f"; without the compute time, as the device has no peak for {time.missing}" if time.missing else ""
        lines.append(f"  {name}: {_bound_text(time)}{lacking}")
        sign = AT_LEAST if time.missing else "="
        equation = f"time {sign} {_time_formula(time, device)} = {units.si(time.seconds, 's')}"
        lines += ["    " + line for line in wrapped(equation)]
    return "\n".join(lines if len(lines) > 1 else [*lines, "  runs no op itself"])


def _time_formula(time: OpTime, device: Device) -> str:
    """Return the device's formula for an op's time, with the op's numbers."""
    floats = time.compute - time.integers
    compute = f"FLOPs {units.exact(time.flops)} / {units.si(time.peak, 'FLOP/s')} = {units.si(floats, 's')}"
    # without a divisor: weights and other tensors may be at different memory levels
    memory = f"bytes {units.exact(time.nbytes)} take {units.si(time.memory, 's')}"
    integers = f"products of integers {units.si(time.integers, 's')}"
    computing = [text for text, n in ((compute, time.flops), (integers, time.integers)) if n]
    parts = ([" + ".join(computing)] if computing else []) + ([memory] if time.memory else [])
    launch = f"launch {units.si(time.launch, 's')}"
    if device.overlaps:
        return f"max({', '.join([launch, *parts])})"
    more = [f"{what} {units.si(n, 's')}" for what, n in (("copies", time.copies), ("new pages", time.pages)) if n]
    longest = [f"max({', '.join(parts)})"] if len(parts) > 1 else parts
    return " + ".join([launch, *longest, *more])


def _bound_text(time: OpTime) -> str:
    intensity = "" if time.intensity is None else f"{units.ratio(time.intensity)} FLOP/B, "
    return f"{intensity}{time.bound}-bound"


def ceilings(device: Device, dtype: str | None) -> str:
    """Return the ceilings of a device for a dtype, or for all of its number formats.

    For example, `NVIDIA H100 SXM5 80 GB: 989 TFLOP/s bfloat16, 3.35 TB/s, launch 5.00 µs (assumed), ridge at
    295 FLOP/B`. The ridge is left out without a dtype or a bandwidth.
    """
    shown = {dtype: device.peak(dtype)} if dtype else device.flops
    parts = [f"{units.si(flops, 'FLOP/s')} {name}" for name, flops in shown.items()]
    parts.append(units.si(device.bandwidth, "B/s") if device.bandwidth else "no memory ceiling (bandwidth unknown)")
    parts.append(f"launch {units.si(device.launches, 's')}{'' if device.launch is not None else ' (assumed)'}")
    if dtype and device.bandwidth:
        parts.append(f"ridge at {units.ratio(device.peak(dtype) / device.bandwidth)} FLOP/B")
    return f"{device.title}{f' ({device.measured})' if device.measured else ''}: {', '.join(parts)}"


def formula(device: Device) -> str:
    """Return the formula for an op's time, in words."""
    compute_memory = "FLOPs / peak, bytes / bandwidth" if device.bandwidth else "FLOPs / peak"
    if device.overlaps:
        return f"time of an op = max(launch, {compute_memory})"
    longest = f"max({compute_memory})" if device.bandwidth else compute_memory
    further_terms = (" + copies" if device.copies else "") + (" + new pages" if device.fresh else "")
    return f"time of an op = launch + {longest}{further_terms}"


def footer(prediction: Prediction) -> list[str]:
    """Return the lines below the table: times by phase and bound, throughput, training estimate, and omitted ops."""
    roofline = prediction.roofline
    total, forward = roofline.total, forward_time(roofline)
    communication_left_out = prediction.links is not None and prediction.links.times is None
    least = AT_LEAST if roofline.partial or communication_left_out or not roofline.device.measured else ""
    throughput = prediction.per_second
    speed = "" if throughput is None else f", {'≤' if least else ''}{throughput:,.0f} examples/s"
    lines = [f"forward: {least}{units.duration(forward.seconds)}{speed}{_shares(forward)}"]
    lines += [
        f"{name}: {least}{units.duration(each.seconds)}{_shares(each)}"
        for name, each in roofline.phases.items() if name != "forward"
    ]  # fmt: skip
    if (placement := prediction.graph.placement) is not None:
        lines.append(
            f"on {units.counted(len(placement.devices), 'device')}: all ops one after another, as if no two devices "
            "worked at the same time; copies between devices use the fastest link within a node"
        )
    if roofline.dtype is not None and roofline.dtype.startswith("int"):
        bits = FORMATS[roofline.dtype].bits
        taken = "one byte" if bits == 8 else f"{bits} bits"
        values = f"{roofline.dtype}: all floating-point values"
        lines.append(f"{values} are taken as {taken} each, as in a quantized network")
    if prediction.training is not None:
        lines.append(training(*prediction.training, roofline.device, partial=roofline.partial))
    lines += [f"left out: {text}" for text in left_out(prediction)]
    if not roofline.device.measured:
        lines.append(f"a lower bound, at the ceilings of: {roofline.device.source}")
    nothing = not total.seconds and not total.unknown
    return ["nothing takes time: no op moves or computes anything"] if nothing else lines


def left_out(prediction: Prediction) -> Iterator[str]:
    """Yield what the times leave out: ops without a rule, copies over an unknown link, products without a peak."""
    roofline = prediction.roofline
    nodes = zip(prediction.graph.nodes, roofline.nodes, strict=True)
    copies = sum(time is None and node.spec.kind == "transfer" for node, time in nodes)
    if roofline.unknown > copies:
        yield f"{units.counted(roofline.unknown - copies, 'op')} without a rule"
    if copies:
        yield f"{units.counted(copies, 'copy', 'copies')} over a link whose bandwidth no source states"
    if roofline.missing:
        products = ", ".join(f"{units.counted(n, 'product')} in {name}" for name, n in roofline.missing.items())
        yield f"the compute time of {products}, for which the device has no peak"


def training(assumed: Training, estimate: TrainingEstimate, device: Device, *, partial: bool = False) -> str:
    """Return, for example, `training: 90 epochs of 1,200,000 examples on 2 devices: ≥2.09 days, ≥24.5 kWh at …`."""
    many = units.counted(assumed.devices, "device")
    step = "recorded" if estimate.recorded else "taken as 3 forward passes"
    least = "" if device.measured and not partial else AT_LEAST
    energy = f", {least}{estimate.joules / 3.6e6:,.3g} kWh at {device.power:g} W each" if estimate.joules else ""
    steps = f"{estimate.steps:,.0f} steps of {least}{units.si(estimate.step_seconds, 's')}"
    return (
        f"training: {assumed.epochs:g} epochs of {units.exact(assumed.examples)} examples on {many}: "
        f"{least}{units.duration(estimate.seconds)}{energy}; {steps}, "
        f"{step}, assuming perfect scaling over the devices"
    )


def _shares(each: Predicted) -> str:
    parts = (("compute", each.compute), ("memory", each.memory), ("launch", each.launch))
    shares = ", ".join(f"{units.percent(n, each.seconds)} {name}-bound" for name, n in parts if n)
    return f"; {'of what is known, ' * bool(each.unknown)}{shares}" if shares else ""


def _plain(each: Predicted) -> dict[str, Any]:
    """Return a predicted time as JSON fields, named as in `_CEILINGS`, with its intensity and bound."""
    names: dict[str, str] = {}
    for ceiling in ("compute", "memory", "launch"):
        names |= {ceiling: f"{ceiling}_bound_seconds", f"{ceiling}_alone": f"{ceiling}_seconds"}
    return {names.get(k, k): v for k, v in as_data(each).items()} | {"intensity": each.intensity, "bound": each.bound}
