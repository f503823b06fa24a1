"""A benchmark as a document: what stands in reports/bench_cpu.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cnncost import units
from cnncost.evaluation import tables
from cnncost.evaluation.bench import LARGE, Bench, is_large
from cnncost.evaluation.join import Joined
from cnncost.evaluation.render import figure, head, layer_notes, noise
from cnncost.render.layout import Field

_FAR = 0.30
GPU = "cnncost bench --zoo --device cuda --batch 1,64 --dtype float32,bf16 -o reports/bench_gpu.md"
"""Fills the document for a GPU."""
_ALEXNETS = ("alexnet", "alexnet_two_gpu")


def to_markdown(bench: Bench, top: int, command: str, pictures: tuple[str, ...] = ()) -> str:
    """The whole benchmark: machine, figures, networks, convolutions' shares, errors and their reasons, layers."""
    parts = [*_opening(bench, command), *_figures(bench, pictures), *_networks(bench), *_shares(bench)]
    parts += [*_errors(bench), *_remarks(bench), *_layers(bench, top), *_reading(bench)]
    return "\n".join(parts).rstrip("\n") + "\n"


def _opening(bench: Bench, command: str) -> Iterator[str]:
    yield f"# Predicted beside measured: {bench.on.upper()}"
    yield ""
    for text in head(bench):
        yield f"- {text}"
    yield f"- made by `{command}` in {units.duration(bench.seconds)}"
    for text in noise(bench):
        yield f"- **{text}**" if text.startswith("noisy") else f"- {text}"
    if bench.interrupted:
        yield "- interrupted: not all networks are here"
    yield ""


def _figures(bench: Bench, pictures: tuple[str, ...]) -> Iterator[str]:
    told = [figure(found, bench.on) for found in bench.figures()] if bench.whole_zoo else []
    if told or pictures:
        yield "## How good the predictions are"
        yield ""
    yield from (f"- {text}" for text in told)
    if told:
        yield ""
    for picture in pictures:
        yield f"![{Path(picture).stem}]({picture})"
        yield ""


def _networks(bench: Bench) -> Iterator[str]:
    yield "## Networks"
    yield ""
    yield "Medians; ± is the quartiles' distance, ! a machine that was not quiet. The case is the batch size."
    yield ""
    yield from _table(tables.cases(bench, bench.rows))
    for row in bench.rows:
        if row.measured.status != "measured" or row.problem:
            yield f"- {row.name}, {tables.case_name(row)}: {row.measured.status}; {row.measured.note or row.problem}"
    yield ""


def _shares(bench: Bench) -> Iterator[str]:
    """The slide's 6 % of parameters and 95 % of the time, of every network with convolutions."""
    rows = [row for row in bench.rows if (found := row.share("conv")) is not None and found[1]]
    if not rows:
        return
    slide = ": few parameters, most of the time" if bench.whole_zoo else ""
    yield f"## Convolutions{slide or ': their part of parameters, MACs and time'}"
    yield ""
    for row in rows:
        found = row.share("conv")
        if bench.whole_zoo and row.name in _ALEXNETS and found:
            yield (
                f"- {row.name}, batch {row.case.batch}: convolutions are {units.percent(found[0])} of the parameters, "
                f"{units.percent(found[1])} of the MACs and {units.percent(found[3])} of the measured time (the slide: "
                "6 % of the parameters, 95 % of the time)"
            )
    if bench.whole_zoo and any(row.name in _ALEXNETS for row in rows):
        yield (
            "\nThe slide's 95 % is the share in MACs. In time, the rest is fully connected layers, whose weights are "
            "read once a batch, and response norms and pools, which compute little and keep the machine long."
        )
    yield ""
    yield from _table(tables.shares(rows))
    yield ""


def _errors(bench: Bench) -> Iterator[str]:
    far = [row for row in bench.rows if row.error is not None and abs(row.error) > _FAR]
    yield f"## Predictions off by more than {_FAR:.0%}"
    yield ""
    if not far:
        yield "None."
    for row in far:
        yield f"- {row.name}, {tables.case_name(row)}: {tables.signed(row.error)}; {reason(row)}"
    yield ""


def _remarks(bench: Bench) -> Iterator[str]:
    if bench.remarks:
        yield "## Training, as an estimate"
        yield ""
        yield from (f"- {remark}." for remark in bench.remarks)
        yield ""


def reason(row: Joined) -> str:
    """Why a prediction is off, as far as the numbers tell: noise, launches, or the kind that is furthest off."""
    timing = row.measured.timing
    if timing is not None and timing.noise:
        return f"the machine was not quiet ({', '.join(timing.noise)})"
    kinds: dict[str, list[float]] = {}
    for layer in row.layers:
        if layer.measured is not None and layer.predicted is not None:
            sums = kinds.setdefault(layer.kind or "own code of modules", [0.0, 0.0])
            sums[0] += layer.predicted.seconds
            sums[1] += layer.measured
    parts = []
    if not is_large(row):
        parts.append(f"below {units.compact(LARGE)} MACs an example")
    if kinds:
        kind, (predicted, taken) = max(kinds.items(), key=lambda item: abs(item[1][1] - item[1][0]))
        parts.append(f"most of it in {kind}: predicted {units.si(predicted, 's')}, measured {units.si(taken, 's')}")
    return "; ".join(parts) or "no layers to tell"


def _layers(bench: Bench, top: int) -> Iterator[str]:
    """The layers of each network, of the zoo those of one of each family, where they were timed."""
    timed = [row for row in bench.rows if row.measured.layers and row.prediction]
    shown = [row for row in timed if row.name in _SHOWN or not bench.whole_zoo]
    if not shown or not top:
        return
    yield "## Layers"
    yield ""
    for row in shown:
        yield f"### {row.name}, batch {tables.case_name(row)}"
        yield ""
        yield from _table(tables.layers(row, top))
        yield ""
        yield from layer_notes(row)
        yield ""


_SHOWN = ("lenet5", "alexnet", "vgg16", "resnet50")


def _reading(bench: Bench) -> Iterator[str]:
    device = bench.device
    yield "## How to read it"
    yield ""
    if bench.whole_zoo and bench.on == "cpu" and not bench.host.gpu:
        yield f"- No GPU was at hand. Where there is one, `{GPU}` makes the same document for it."
    yield "- A MAC is two FLOPs. Bytes: each op's inputs and outputs once. *of peak*: of the measured matrix products."
    mode = "train mode, forward and backward" if any(row.case.training for row in bench.rows) else "eval mode"
    gradients = "" if mode.startswith("train") else ", no gradients"
    yield f"- Weights are real (as their own code makes them), inputs random, four in turn; {mode}{gradients}."
    if device.copies:
        yield (
            "- *copies*: this machine's library brings a convolution's tensors, and the matrices of products of more "
            "than one row, into its own order: each is read and written once more."
        )
    if device.fresh:
        yield (
            f"- *new pages*: tensors above {units.data(device.fresh.size)} get new pages from the system on every use, "
            f"which fills them at {units.si(device.fresh.bandwidth, 'B/s')}; an allocator that keeps memory (jemalloc, "
            "tcmalloc) would save this time."
        )
    yield "- Pools run at the measured rate of pools, as their kernels use no vector unit; all else at the roofline."
    yield (
        "- Small networks take longer than predicted: Python between the ops is no op, and convolutions of fewer "
        "channels than a vector has lanes (16 of float32 with AVX-512) leave lanes idle"
        f"{', as in the LeNets' if bench.whole_zoo else ''}."
    )
    yield "- Measured peak memory is what torch's allocator was asked for at once, weights and inputs included."
    if all(row.predicted_memory is None for row in bench.rows):
        yield "- Predicted peak memory: not available in this report."


def _table(fields: list[Field]) -> Iterator[str]:
    yield "| " + " | ".join(field.heading for field in fields) + " |"
    yield "|" + "|".join("--:" if field.right else ":--" for field in fields) + "|"
    for i in range(len(fields[0].cells)):
        yield "| " + " | ".join(field.cells[i].text.replace("|", "\\|") for field in fields) + " |"
