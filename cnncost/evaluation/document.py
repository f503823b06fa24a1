"""A benchmark as a document: a table in a terminal, or a whole page in markdown, such as reports/bench_cpu.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cnncost import units
from cnncost.evaluation import tables
from cnncost.evaluation.bench import Bench
from cnncost.evaluation.join import Joined
from cnncost.evaluation.words import accuracy_text, foot, head, layer_notes, left_out, noise, reason
from cnncost.render.document import Document, Heading, Note, Notes, Part, Picture, data_table, notes
from cnncost.report.columns import AT_LEAST

COLUMNS = (
    "network", "batch", "dtype", "training", "compiled", "status", "measured_s", "q1_s", "q3_s", "best_s", "repeats",
    "noise", "predicted_s", "error", "bound", "macs", "flops", "bytes", "flops_per_s", "bytes_per_s", "of_peak",
    "examples_per_s", "layers_sum_s", "layers_gap", "timing_overhead", "peak_memory", "predicted_memory", "page_faults",
    "note", "unknown_ops", "memory_partial",
)  # fmt: skip
"""Columns of CSV, and keys of JSON's rows."""
_FAR = 0.30
"""Relative error above which the document gives a reason."""
_GPU_COMMAND = "cnncost bench --zoo --device cuda --batch 1,64 --dtype float32,bf16 -o reports/bench_gpu.md"
"""The command that makes the document for a GPU."""
_ALEXNETS = ("alexnet", "alexnet_two_gpu")
"""Networks to which the lecture's slide on parameters and time refers."""
_WITH_LAYERS = ("lenet5", "alexnet", "vgg16", "resnet50")
"""Networks whose layers are shown if the whole zoo is measured."""


def document(bench: Bench, top: int, command: str = "", pictures: tuple[str, ...] = ()) -> Document:
    """Return the document: machine, accuracy, networks, layers, and how to read it.

    Args:
        bench: the measurements.
        top: number of layers to show for each case; 0: none.
        command: the command line that ran the benchmark; may be empty.
        pictures: paths of pictures, relative to the document.
    """
    parts: list[Part] = [
        notes(*head(bench), apart=False, hang=""),
        *_origin(bench, command),
        *_figures(bench, pictures),
        Heading("Networks", shown="markup"),
        notes("Times are medians; ± is the interquartile range over the median, ! marks a machine that was not quiet. "
              "The case is the batch size, with dtype and mode unless they are float32 and eager inference",
              listed=False, shown="markup"),
        *([tables.cases(bench, bench.rows)] if bench.rows else []),
        notes(*_missing(bench), shown="markup"),
        *_layers_in_text(bench, top),
        notes(*foot(bench), shown="text", hang=""),
        *_shares(bench),
        *_errors(bench),
        *_layers_in_markup(bench, top),
        *_how_to_read(bench),
        data_table(COLUMNS, (_values(bench, row) for row in bench.rows)),
    ]  # fmt: skip
    title = f"Predicted and measured times: {bench.on.upper()}"
    return Document("bench", title, headline="", facts=_facts(bench), parts=tuple(parts), width=140)


def _origin(bench: Bench, command: str) -> Iterator[Part]:
    made_by = Note(f"made in {units.duration(bench.seconds)} by ", code=command) if command else Note("")
    machine = [Note(text, "warning" if text.startswith("noisy") else "") for text in noise(bench)]
    interrupted = Note("interrupted: not all networks were measured" if bench.interrupted else "")
    yield Notes((made_by, *machine, interrupted), shown="markup")


def _figures(bench: Bench, pictures: tuple[str, ...]) -> Iterator[Part]:
    accuracy = [accuracy_text(each, bench.on) for each in bench.figures()] if bench.whole_zoo else []
    if accuracy or pictures:
        yield Heading("Accuracy of the predictions", shown="markup")
    yield notes(*accuracy, shown="markup")
    yield from (Picture(picture, Path(picture).stem, shown="markup") for picture in pictures)


def _missing(bench: Bench) -> Iterator[str]:
    for row in bench.rows:
        if row.measured.status != "measured" or row.problem:
            yield f"{row.name}, {tables.case_name(row)}: {row.measured.status}; {row.measured.note or row.problem}"
    yield from left_out(bench)


def _layers_in_text(bench: Bench, top: int) -> Iterator[Part]:
    """Yield the tables of layers for the text format, if there are at most three timed cases."""
    timed = [row for row in bench.rows if row.measured.layers and row.prediction]
    for row in timed if top and len(timed) <= 3 else ():
        yield Heading(f"{row.name}, {tables.case_name(row)}: layers", shown="text")
        yield tables.layers(row, top, "text")
        yield notes(*layer_notes(row), shown="text", apart=False, hang="")


def _shares(bench: Bench) -> Iterator[Part]:
    """Yield the share of convolutions in each network; a slide states 6 % of parameters and 95 % of the time."""
    with_convolutions = [row for row in bench.rows if (share := row.share("conv")) is not None and share.macs]
    if not with_convolutions:
        return
    slide = ": few parameters, most of the time" if bench.whole_zoo else ""
    yield Heading(f"Convolutions{slide or ': their share of parameters, MACs and time'}", shown="markup")
    alexnets = [row for row in with_convolutions if bench.whole_zoo and row.name in _ALEXNETS]
    yield notes(*map(_slide, alexnets), shown="markup")
    if alexnets:
        yield notes(
            "The slide's 95 % is the share of MACs. In time, the rest goes to fully connected layers, whose weights "
            "are read once per batch, and to response normalization and pooling, which compute little but take long",
            listed=False, shown="markup",
        )  # fmt: skip
    yield tables.shares(with_convolutions)


def _slide(row: Joined) -> str:
    """Return a sentence that compares the shares of a row's convolutions with the slide."""
    share = row.share("conv")
    assert share is not None
    return (
        f"{row.name}, batch {row.case.batch}: convolutions are {units.percent(share.params)} of the parameters, "
        f"{units.percent(share.macs)} of the MACs and {units.percent(share.measured)} of the measured time (the slide: "
        "6 % of the parameters, 95 % of the time)"
    )


def _errors(bench: Bench) -> Iterator[Part]:
    far = [row for row in bench.rows if row.error is not None and abs(row.error) > _FAR]
    yield Heading(f"Predictions off by more than {_FAR:.0%}", shown="markup")
    lines = [
        f"{row.name}, {tables.case_name(row)}: {_least(row)}{tables.signed(row.error)}; {reason(row)}" for row in far
    ]
    yield notes(*lines, shown="markup") if lines else notes("None", listed=False, shown="markup")
    if bench.remarks:
        yield Heading("Training, as an estimate", shown="markup")
        yield notes(*(f"{remark}." for remark in bench.remarks), shown="markup")


def _least(row: Joined) -> str:
    """Return the mark of a row's error, whose predicted time may leave out ops."""
    return AT_LEAST if row.unknown_ops else ""


def _layers_in_markup(bench: Bench, top: int) -> Iterator[Part]:
    """Yield the tables of timed layers for markup formats; for the whole zoo, only those of `_WITH_LAYERS`."""
    timed = [row for row in bench.rows if row.measured.layers and row.prediction]
    shown = [row for row in timed if row.name in _WITH_LAYERS or not bench.whole_zoo]
    if not shown or not top:
        return
    yield Heading("Layers", shown="markup")
    for row in shown:
        yield Heading(f"{row.name}, batch {tables.case_name(row)}", level=2, shown="markup")
        yield tables.layers(row, top, "markup")
        yield notes(*layer_notes(row), listed=False, shown="markup")


def _how_to_read(bench: Bench) -> Iterator[Part]:
    yield Heading("How to read it", shown="markup")
    if bench.whole_zoo and bench.on == "cpu" and not bench.host.gpu:
        no_gpu = Note(
            "No GPU was available. On a machine with one, make the same document for it with ", code=_GPU_COMMAND
        )
    else:
        no_gpu = Note("")
    yield Notes((no_gpu, *(Note(text) for text in _explanations(bench))), shown="markup")


def _explanations(bench: Bench) -> Iterator[str]:
    device = bench.device
    yield 'A MAC is two FLOPs. Bytes: inputs and outputs of each op, once. "of peak": achieved FLOP/s, as a share.'
    mode = "train mode, forward and backward" if any(row.case.training for row in bench.rows) else "eval mode"
    gradients = "" if mode.startswith("train") else ", no gradients"
    yield f"Weights are real (as initialized by the model), inputs are random, up to four in turn; {mode}{gradients}."
    if device.copies:
        yield (
            '"copies": this machine\'s library converts the tensors of convolutions, and the matrices of products '
            "with more than one row, to its own memory layout: each is read and written once more."
        )
    if device.fresh:
        yield (
            f'"new pages": a tensor above {units.data(device.fresh.size)} gets new pages from the system each time, '
            f"mapped at {units.si(device.fresh.bandwidth, 'B/s')}; an allocator that retains memory (jemalloc, "
            "tcmalloc) would save this time."
        )
    yield (
        "For convolutions and, on a CPU, for pooling (whose kernels use no vector instructions), the peak in the "
        "formula is the measured rate, if there is one. Otherwise it is the device's peak."
    )
    yield (
        "Small networks take longer than predicted: the time that Python takes between ops is not included, and "
        "convolutions with fewer channels than a vector has lanes (16 for float32 with AVX-512) leave lanes idle"
        f"{', as in the LeNets' if bench.whole_zoo else ''}."
    )
    yield "Measured peak memory is the most that torch had allocated at once, including weights and inputs."
    if all(row.predicted_memory is None for row in bench.rows):
        yield "Predicted peak memory: not available in this report."


def _facts(bench: Bench) -> dict[str, Any]:
    return {
        "date": bench.date, "seconds": bench.seconds, "on": bench.on, "host": asdict(bench.host),
        "device": asdict(bench.device), "interrupted": bench.interrupted, "remarks": bench.remarks,
        "figures": bench.figures(),
        "rows": [
            dict(zip(COLUMNS, _values(bench, row), strict=True)) | {"layers": [_layer(each) for each in row.layers]}
            for row in bench.rows
        ],
    }  # fmt: skip


def _layer(row: Any) -> dict[str, Any]:
    predicted = row.predicted
    return {
        "path": row.path, "call": row.call, "label": row.label, "class": row.class_name, "kind": row.kind,
        "measured_s": row.measured, "predicted_s": predicted.seconds if predicted else None,
        "bound": predicted.bound if predicted else None,
        "flops": predicted.flops if predicted else None, "bytes": predicted.nbytes if predicted else None,
        "unknown_ops": predicted.unknown if predicted else None,
    }  # fmt: skip


def _values(bench: Bench, row: Joined) -> tuple[Any, ...]:
    timing, case, flops, nbytes = row.measured.timing, row.case, row.flops, row.nbytes
    peak = bench.device.flops.get(case.dtype)
    reached = flops / row.seconds if flops is not None and row.seconds else None
    return (
        row.name, case.batch, case.dtype, case.training, case.compiled, row.measured.status, row.seconds,
        timing.q1 if timing else None, timing.q3 if timing else None, timing.best if timing else None,
        timing.repeats if timing else None, "; ".join(timing.noise) if timing else None,
        row.predicted_seconds, row.error, row.prediction.roofline.total.bound if row.prediction else None,
        row.report.totals.macs if row.report else None, flops, nbytes, reached,
        nbytes / row.seconds if nbytes is not None and row.seconds else None,
        reached / peak if reached is not None and peak else None, row.per_second,
        sum(row.measured.layers.values()) if row.measured.layers else None, row.gap, row.measured.overhead,
        row.measured.peak_memory, row.predicted_memory, row.measured.faults, row.measured.note or row.problem,
        row.unknown_ops, row.memory_partial,
    )  # fmt: skip
