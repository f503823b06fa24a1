"""A Prediction as text for the terminal and as markdown, CSV and JSON. Formatting only."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from cnncost import units
from cnncost.devices.model import Device
from cnncost.passes.roofline import OpTime, Predicted
from cnncost.render import layout
from cnncost.render.layout import Cell, Field
from cnncost.report import heading
from cnncost.report.columns import AT_LEAST
from cnncost.report.formula import wrapped
from cnncost.report.prediction import By, Prediction, Row, Training, TrainingEstimate, chosen, forward, times_of

_BAR = 10
COLUMNS = (
    "name", "class", "ops", "flops", "bytes", "intensity", "bound", "seconds", "compute_seconds", "memory_seconds",
    "launch_seconds",
)  # fmt: skip
"""Of CSV. The last three: what each ceiling alone would take of the row's ops, whichever bounds them."""


def to_text(prediction: Prediction, width: int, by: By = "layer", top: int | None = None) -> str:
    """Heading, ceilings, formula, rows and total, fitted to a width; `top`: only the slowest rows."""
    shown, total = _rows(prediction, by, top)
    lines = [line for text in head(prediction) for line in wrapped(text, "", width)]
    lines += ["", *map(layout.plain, layout.table(_fields([*shown, total], by, width), width, [len(shown)])), ""]
    return "\n".join([*lines, *(line for text in foot(prediction) for line in wrapped(text, "", width))])


def to_markdown(prediction: Prediction, by: By = "layer", top: int | None = None) -> str:
    """The same as markdown."""
    shown, total = _rows(prediction, by, top)
    fields = _fields([*shown, total], by, None)
    heads = [field.heading or " " for field in fields]
    lines = [f"# {heading.title(prediction.report)}: roofline", "", *_paragraphs(head(prediction)[1:])]
    lines += [_piped(heads), "|" + "|".join("--:" if field.right else ":--" for field in fields) + "|"]
    lines += [_piped([field.cells[i].text for field in fields]) for i in range(len(fields[0].cells))]
    return "\n".join([*lines, "", *_paragraphs(foot(prediction))]).rstrip("\n") + "\n"


def to_csv(prediction: Prediction, by: By = "layer", top: int | None = None) -> str:
    """The rows as CSV: exact FLOPs and bytes, seconds as floats."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in chosen(prediction, by, top)[0]:
        p = row.predicted
        writer.writerow([
            row.name, row.class_name, p.ops, p.flops, p.nbytes, "" if p.intensity is None else p.intensity,
            p.bound, p.seconds, p.compute_alone, p.memory_alone, p.launch_alone,
        ])  # fmt: skip
    return out.getvalue()


def to_json(prediction: Prediction, by: By = "layer", top: int | None = None) -> str:
    """Everything as JSON."""
    found, report = prediction.roofline, prediction.report
    device = found.device
    shown, _ = chosen(prediction, by, top)
    data: dict[str, Any] = {
        "schema": 2, "model": report.model, "batch": report.batch,
        "inputs": [{"shape": list(shape), "dtype": dtype} for shape, dtype in report.inputs],
        "device": {"name": device.name, "title": device.title, "flops": device.flops, "bandwidth": device.bandwidth,
                   "launch": device.launches, "source": device.source, "measured": device.measured},
        "dtype": found.dtype, "formula": formula(device), "unknown_ops": found.unknown,
        "total": _plain(found.total), "phases": {name: _plain(each) for name, each in found.phases.items()},
        "rows": [{"name": r.name, "class": r.class_name, **_plain(r.predicted)} for r in shown],
    }  # fmt: skip
    if prediction.training is not None:
        stated, estimated = prediction.training
        data["training"] = {**stated._asdict(), **estimated._asdict()}
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def explain(prediction: Prediction, path: str) -> str:
    """The formula of each op of a module, with its numbers. Raises CnncostError if there is no such module."""
    device = prediction.roofline.device
    lines = [f"{path or prediction.report.model} on {device.title}"]
    for name, time in times_of(prediction, path):
        if not time.seconds:
            lines.append(f"  {name}: free, it moves and computes nothing")
            continue
        lines.append(f"  {name}: {_bound(time)}")
        lines += ["    " + line for line in wrapped(f"time = {_sum_of(time, device)} = {units.si(time.seconds, 's')}")]
    return "\n".join(lines if len(lines) > 1 else [*lines, "  runs no op itself"])


def _sum_of(time: OpTime, device: Device) -> str:
    compute = f"FLOPs {units.exact(time.flops)} / {units.si(time.peak, 'FLOP/s')} = {units.si(time.compute, 's')}"
    memory = f"bytes {units.exact(time.nbytes)} = {units.si(time.memory, 's')}"
    parts = ([compute] if time.flops else []) + ([memory] if time.memory else [])
    launch = f"launch {units.si(time.launch, 's')}"
    if device.overlaps:
        return f"max({', '.join([launch, *parts])})"
    more = [f"{what} {units.si(n, 's')}" for what, n in (("copies", time.copies), ("new pages", time.pages)) if n]
    return " + ".join([launch, f"max({', '.join(parts)})" if len(parts) > 1 else parts[0], *more])


def _bound(time: OpTime) -> str:
    intensity = "" if time.intensity is None else f"{units.ratio(time.intensity)} FLOP/B, "
    return f"{intensity}{time.bound}-bound"


def head(prediction: Prediction) -> list[str]:
    """Model and input, the device's ceilings, the formula."""
    report, found = prediction.report, prediction.roofline
    taken = "" if found.dtype is None else f", computed in {found.dtype}"
    return [
        f"{heading.title(report)}, {heading.inputs(report)}{taken}",
        f"on {ceilings(found.device, found.dtype)}",
        formula(found.device),
    ]


def ceilings(device: Device, dtype: str | None) -> str:
    """`NVIDIA H100 SXM5 80 GB: 989 TFLOP/s bfloat16, 3.35 TB/s, launch 5.00 µs (assumed)`."""
    shown = {dtype: device.peak(dtype)} if dtype else device.flops
    parts = [f"{units.si(flops, 'FLOP/s')} {name}" for name, flops in shown.items()]
    parts.append(units.si(device.bandwidth, "B/s") if device.bandwidth else "memory no ceiling")
    parts.append(f"launch {units.si(device.launches, 's')}{'' if device.launch is not None else ' (assumed)'}")
    if dtype and device.bandwidth:
        parts.append(f"ridge at {units.ratio(device.peak(dtype) / device.bandwidth)} FLOP/B")
    return f"{device.title}{f' ({device.measured})' if device.measured else ''}: {', '.join(parts)}"


def formula(device: Device) -> str:
    """The formula for an op's time."""
    compute_memory = "FLOPs / peak, bytes / bandwidth" if device.bandwidth else "FLOPs / peak"
    if device.overlaps:
        return f"time of an op = max(launch, {compute_memory})"
    most = f"max({compute_memory})" if device.bandwidth else compute_memory
    more = (" + copies" if device.copies else "") + (" + new pages" if device.fresh else "")
    return f"time of an op = launch + {most}{more}"


def foot(prediction: Prediction) -> list[str]:
    """The total by bound, throughput, the training estimate, and what is left out."""
    found = prediction.roofline
    total, once = found.total, forward(found)
    least = AT_LEAST if found.unknown or not found.device.measured else ""
    throughput = prediction.per_second
    speed = "" if throughput is None else f", {'≤' if least else ''}{throughput:,.0f} examples/s"
    lines = [f"forward: {least}{units.duration(once.seconds)}{speed}; {_shares(once)}"]
    lines += [
        f"{name}: {least}{units.duration(each.seconds)}; {_shares(each)}"
        for name, each in found.phases.items() if name != "forward"
    ]  # fmt: skip
    if found.dtype == "int8":
        lines.append("int8: all floats taken as bytes, as a quantized network has them")
    if prediction.training is not None:
        lines.append(training(*prediction.training, found.device))
    if found.unknown:
        lines.append(f"{units.counted(found.unknown, 'op')} without a rule left out")
    if not found.device.measured:
        lines.append(f"a lower bound, at the ceilings of: {found.device.source}")
    return lines if total.seconds else ["nothing takes time: no op moves or computes anything"]


def training(stated: Training, found: TrainingEstimate, device: Device) -> str:
    """`training: 90 epochs of 1,200,000 examples on 2 devices: ≥ 1.58 days, ≥ 18.5 kWh; …`."""
    many = units.counted(stated.devices, "device")
    step = "recorded" if found.recorded else "taken as 3 forward passes"
    least = "" if device.measured else AT_LEAST
    energy = f", {least}{found.joules / 3.6e6:,.3g} kWh at {device.power:g} W each" if found.joules else ""
    steps = f"{found.steps:,.0f} steps of {units.si(found.step_seconds, 's')}"
    return (
        f"training: {stated.epochs:g} epochs of {units.exact(stated.examples)} examples on {many}: "
        f"{least}{units.duration(found.seconds)}{energy}; {steps}, "
        f"{step}, divided among the devices without loss"
    )


def _shares(each: Predicted) -> str:
    parts = (("compute", each.compute), ("memory", each.memory), ("launch", each.launch))
    return ", ".join(f"{units.percent(n, each.seconds)} {name}-bound" for name, n in parts if n)


def _rows(prediction: Prediction, by: By, top: int | None) -> tuple[list[Row], Row]:
    """The displayed rows, including one for the rest, and the total."""
    shown, rest = chosen(prediction, by, top)
    return [*shown, *([rest] if rest else [])], Row("total", "", prediction.roofline.total)


def _fields(shown: list[Row], by: By, width: int | None) -> list[Field]:
    """The columns; the last row is the total."""
    each, total = [row.predicted for row in shown], shown[-1].predicted
    names = [Cell(layout.printable(row.name or "(own)")) for row in shown]
    fields = [Field("module" if by == "layer" else by, names, least=16)]
    if by == "layer":
        fields.append(Field("class", [Cell(row.class_name) for row in shown], least=8))
    fields += [
        Field("FLOPs", [Cell(units.compact(p.flops)) for p in each], right=True),
        Field("bytes", [Cell(units.data(p.nbytes)) for p in each], right=True),
        Field("FLOP/B", [Cell(_intensity(p)) for p in each], right=True),
        Field("bound", [Cell(p.bound) for p in each]),
        Field("time", [Cell(units.duration(p.seconds)) for p in each], right=True),
        Field("share", [Cell(units.percent(p.seconds, total.seconds)) for p in each], right=True),
    ]
    if width is not None and total.seconds and layout.needed(fields) + layout.GAP + _BAR <= width:
        slowest = max(p.seconds for p in each[:-1])
        bars = [layout.bar(round(1e6 * p.seconds / slowest), 10**6, _BAR) for p in each[:-1]]
        fields.append(Field("", [Cell(bar) for bar in [*bars, ""]]))
    return fields


def _intensity(each: Predicted) -> str:
    return units.NOTHING if each.intensity is None else units.ratio(each.intensity)


def _plain(each: Predicted) -> dict[str, Any]:
    names = {"nbytes": "bytes"}
    for ceiling in ("compute", "memory", "launch"):
        names |= {ceiling: f"{ceiling}_bound_seconds", f"{ceiling}_alone": f"{ceiling}_seconds"}
    return {names.get(k, k): v for k, v in each._asdict().items()} | {"intensity": each.intensity, "bound": each.bound}


def _paragraphs(texts: list[str]) -> Iterator[str]:
    for text in texts:
        yield text
        yield ""


def _piped(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


__all__ = ["COLUMNS", "ceilings", "explain", "foot", "formula", "head", "to_csv", "to_json", "to_markdown",
           "to_text", "training"]  # fmt: skip
