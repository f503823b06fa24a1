"""`cnncost memory`: the memory of a forward and of a training step, and whether they fit a device."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from cnncost import units
from cnncost.cli import terminal
from cnncost.cli.options import Command, check_places, model_argument, result_options
from cnncost.cli.parallel import built_model, parallel_options
from cnncost.cli.roofline import complete_device, device_file_option
from cnncost.cli.running import cached, is_cached, run_options
from cnncost.render.formats import FORMATS

if TYPE_CHECKING:
    from cnncost.fit import Step
    from cnncost.report.memory_tables import MemoryTables, Run
    from cnncost.report.model import Report
    from cnncost.sources.parallel import Parallel
    from cnncost.sources.resolve import Resolved, Trace
    from cnncost.sources.settings import Settings


class _Stated(NamedTuple):
    """A number of bytes as stated by the user or a device's table, and its text."""

    nbytes: int
    text: str

    def __str__(self) -> str:
        """Return `8GB (7.45 GiB)`, or only `2.00 GiB` if the text has a binary unit."""
        shown = units.data(self.nbytes)
        return shown if "i" in self.text.lower() else f"{self.text} ({shown})"


class _Size(click.ParamType):  # type: ignore[type-arg]  # generic only for type checkers
    """Parameter type for a number of bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> _Stated:
        """Parse `2GiB` to a number of bytes."""
        if isinstance(value, _Stated):
            return value
        if re.fullmatch(r"[\d.]+(e[+-]?\d+)?", str(value).strip(), re.IGNORECASE):
            number = str(value).strip()
            self.fail(f"{number}: expected a unit, for example {number}GB, {number}GiB or {number}B", param, ctx)
        try:
            size = units.parse_data(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return _Stated(size, str(value).strip())


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n  cnncost memory resnet50 --batch 32 --optimizer adamw\n"
    "  cnncost memory alexnet --batch 128 --device-memory 2GiB\n"
    "  cnncost memory resnet50 --batch 64 --autocast cuda:bf16 --block 512\n"
    "  cnncost memory vgg16 --device-memory 24GB --max-batch --block 512\n"
    "  cnncost memory net.py:Net --input 8x3x32x32 --picture net.png\n"
    "  cnncost memory hf:LlamaForCausalLM --parallel fsdp=8,tp=2 --mixed bf16 --optimizer adamw --device h100\n"
    "  cnncost memory net.py:Router --input 8x128 --trace real",
)
@model_argument
@run_options()
@parallel_options
@click.option("--inference", is_flag=True, help="Analyze inference only, no training step.")
@click.option(
    "--optimizer", metavar="NAME",
    help="Optimizer of torch.optim, such as adamw or sgd:momentum=0.9; by default none: the step ends with backward.",
)  # fmt: skip
@click.option(
    "--loss", type=click.Choice(["cross_entropy", "mse", "bce"]), help="Loss; by default the sum of the outputs."
)
@click.option(
    "--keep-gradients",
    is_flag=True,
    help="Count gradients as allocated when a step begins (zero_grad(set_to_none=False)).",
)
@click.option(
    "--block", type=click.IntRange(min=1), default=1, metavar="BYTES",
    help="Round sizes up to a multiple of BYTES, as the allocator does: 512 for CUDA.",
)  # fmt: skip
@click.option(
    "--workspace", type=_Size(), metavar="SIZE",
    help="Workspace of cuBLAS and cuDNN, for the estimate and for whether it fits; by default, the estimate is for "
    "this CPU's kernels, and whether it fits is decided without workspaces.",
)  # fmt: skip
@click.option("--device-memory", type=_Size(), metavar="SIZE", help="Say whether it fits, for example in 2GiB.")
@click.option(
    "--device", metavar="NAME", shell_complete=complete_device,
    help="Say whether it fits one of `cnncost devices`; replaces --device-memory.",
)  # fmt: skip
@device_file_option
@click.option("--max-batch", is_flag=True, help="Find the largest batch that fits --device-memory or --device.")
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=8,
    metavar="N",
    help="How many of the holders of the largest tensors to list.",
)
@click.option("--picture", metavar="FILE", help="Draw the timeline: .png, .svg or .pdf.")
@result_options()
def command(
    model: str, settings: Settings, parallel: Parallel | None, inference: bool, optimizer: str | None, loss: str | None,
    keep_gradients: bool, block: int, workspace: _Stated | None, device_memory: _Stated | None, device: str | None,
    device_file: Path | None, max_batch: bool, top: int, picture: str | None, form: str | None, output: str | None,
) -> None:  # fmt: skip
    """Show the bytes that forward and a training step of MODEL need: by use, at the peak, and over time.

    They are predicted from the lifetimes of tensors in eager PyTorch, for any batch size, without weights or a device.
    A training step is forward, backward and, with --optimizer, an update by the optimizer, whose state already exists.
    With --parallel, the figures are for one rank and its own inputs.
    """
    if inference and (optimizer or loss or keep_gradients):
        raise click.UsageError("--inference analyzes no training step; omit --optimizer, --loss and --keep-gradients")
    if device is not None:
        device_memory = _device_memory(device, device_file, device_memory)
    if max_batch and device_memory is None:
        raise click.UsageError("--max-batch needs --device-memory, for example --device-memory 24GB, or --device")
    check_places(output, picture)
    form = FORMATS.choose(form, output)
    from cnncost.fit import Step

    if optimizer is not None:
        from cnncost.frontends.torch.optimizers import parse_optimizer

        parse_optimizer(optimizer)  # an unknown one raises before the work
    step = None if inference else Step(loss, optimizer, not keep_gradients)
    if parallel is None and not max_batch and is_cached(model, settings):
        report = cached(model, settings, **({} if step is None else {"training": True, **step._asdict()}))
        tables = _with_verdicts(_tables(report, step, block, workspace), device_memory, workspace)
    else:
        with built_model(model, settings, parallel) as built:
            report, tables = _analyzed(built, step, "static" if parallel else settings.tracing, block, workspace,
                                    device_memory, max_batch)  # fmt: skip
    from cnncost.report.memory_tables import document

    terminal.write(document(tables, top), form, output)
    if picture is not None:
        _draw(picture, report, tables)


def _device_memory(name: str, file: Path | None, stated: _Stated | None) -> _Stated:
    """Return a device's memory. Raises UsageError if --device-memory is also given, or if the table states none."""
    from cnncost.devices import find

    if stated is not None:
        raise click.UsageError("--device and --device-memory: expected only one of them; --device implies its memory")
    device = find(name, file)
    if device.memory is None:
        raise click.UsageError(f"--device {name}: its memory depends on the machine; use --device-memory 512GiB")
    return _Stated(int(device.memory), device.title)


def _analyzed(
    built: Resolved, step: Step | None, trace: Trace, block: int, workspace: _Stated | None,
    device_memory: _Stated | None, max_batch: bool,
) -> tuple[Report, MemoryTables]:  # fmt: skip
    """Return the report, and its tables with verdicts on whether each run fits."""
    from cnncost.fit import Step

    if max_batch:
        built.check_batch_axis()
    if step == Step(None, None, True) and built.source.follow is not None:
        step = None  # a file of ops has no backward, and no option requests a step
    report = _report(built, step, trace)
    tables = _with_verdicts(_tables(report, step, block, workspace), device_memory, workspace)
    if max_batch and device_memory is not None:
        largest = _largest(built, step, block, device_memory, trace, workspace)
        tables = tables._replace(verdicts=(*tables.verdicts, *largest))
    return report, tables


def _with_verdicts(tables: MemoryTables, device_memory: _Stated | None, workspace: _Stated | None) -> MemoryTables:
    """Return the tables; if a device's memory is given, with verdicts on whether it suffices."""
    return tables if device_memory is None else tables._replace(verdicts=_verdicts(tables, device_memory, workspace))


def _report(resolved: Resolved, step: Step | None, trace: Trace) -> Report:
    from cnncost.analysis import analyze

    options = {} if step is None else {"training": True, **step._asdict()}
    return analyze(resolved, trace=trace, **options)


def _tables(report: Report, step: Step | None, block: int, workspace: _Stated | None) -> MemoryTables:
    from cnncost.devices.kernels import in_words, kernels
    from cnncost.passes.memory import memory
    from cnncost.passes.workspaces import workspaces
    from cnncost.report.memory_tables import MemoryTables, Run

    runs = []
    cpu = kernels()
    for name, graph in _graphs(report):
        figures = memory(graph, block)
        raw = workspaces(graph, figures.timeline, cpu if workspace is None else workspace.nbytes)
        runs.append(Run(name, figures, raw))
    words = in_words(cpu) if workspace is None else f"{workspace} for the device's libraries, as stated"
    return MemoryTables(report, tuple(runs), _step_in_words(step) if step is not None else "", block, kernels=words)


def _graphs(report: Report) -> list[tuple[str, Any]]:
    runs = [("inference", report.graph), ("training step", report.training)]
    return [(name, graph) for name, graph in runs if graph is not None]


def _step_in_words(step: Step) -> str:
    loss = step.loss or "the sum of the outputs"
    optimizer = f"then a step of {step.optimizer}" if step.optimizer else "no optimizer"
    gradients = "gradients are None at the start" if step.set_to_none else "gradients are allocated at the start"
    return f"{loss} as the loss, backward, {optimizer}; {gradients}"


def _verdicts(tables: MemoryTables, limit: _Stated, workspace: _Stated | None) -> tuple[str, ...]:
    """Return a sentence on whether each run fits; without a workspace, it says that only tensors are counted."""
    reserved = workspace.nbytes if workspace is not None else 0
    verdicts = []
    for run in tables.runs:
        peak = run.memory.peak.nbytes + reserved
        left = limit.nbytes - peak
        verb, excess = ("fits", "to spare") if left >= 0 else ("does not fit", "too much")
        if run.memory.unseen and left >= 0:
            verdicts.append(f"{run.name}: at least {units.data(peak)}; it is unknown whether it fits {limit}")
            continue
        included = f" with the workspace of {workspace}" if workspace is not None else ""
        verdict = f"{run.name}: {units.data(peak)}{included} {verb} {limit}, {units.data(abs(left))} {excess}"
        if workspace is None and left >= 0:
            verdict += _without_workspaces(run, limit, tables.kernels)
        verdicts.append(verdict)
    return tuple(verdicts)


_TENSORS_ONLY = "; kernels' workspaces are not counted"


def _without_workspaces(run: Run, limit: _Stated, kernels: str) -> str:
    """Return the end of a verdict that counts only tensors; if the estimate with workspaces doesn't fit, it says so."""
    if run.raw is None or run.raw.nbytes <= limit.nbytes:
        return _TENSORS_ONLY
    return f"{_TENSORS_ONLY}: estimated with those of {kernels}, {units.data(run.raw.nbytes)} do not fit"


def _largest(
    resolved: Resolved, step: Step | None, block: int, limit: _Stated, trace: Trace, workspace: _Stated | None
) -> tuple[str, ...]:  # fmt: skip
    """Return a sentence on the largest batch for each run, with or without a workspace."""
    from cnncost.errors import CnncostError
    from cnncost.fit import largest_batch, usage
    from cnncost.sources.batch import with_batch

    reserved = workspace.nbytes if workspace is not None else 0
    ending = _TENSORS_ONLY if workspace is None else f", the workspace of {workspace} included"
    verdicts = []
    for name, run_step in (("inference", None), *((("training step", step),) if step is not None else ())):
        unseen = set[str]()

        def peak_at(  # with values that are bound now, because the loop changes them
            batch: int, run_step: Step | None = run_step, unseen: set[str] = unseen
        ) -> int:
            memory = usage(resolved, with_batch(resolved.inputs, batch), step=run_step, block=block, trace=trace)
            unseen.update(memory.unseen)
            return reserved + memory.peak.nbytes

        try:
            largest = largest_batch(peak_at, limit.nbytes)
        except CnncostError as error:
            verdicts.append(f"{name}: no largest batch found: {error}")
            continue
        if not largest:
            verdicts.append(f"{name}: not even one example fits {limit}")
        else:
            most, least = ("at most ", "at least ") if unseen else ("", "")
            verdicts.append(
                f"{name}: the largest batch that fits {limit} is {most}{units.exact(largest)}, with "
                f"{least}{units.exact(peak_at(largest))} of {units.exact(limit.nbytes)} bytes; "
                f"{units.exact(largest + 1)} need "
                f"{least}{units.exact(peak_at(largest + 1))}{ending}"
            )
    return tuple(verdicts)


def _draw(picture: str, report: Report, tables: MemoryTables) -> None:
    from cnncost.plots.memory import draw
    from cnncost.report import heading

    run, (_, graph) = tables.runs[-1], _graphs(report)[-1]
    draw(picture, f"{heading.title(report)}, {heading.inputs(report)}: {run.name}", graph, run.memory)
