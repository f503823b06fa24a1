"""`cnncost bench`: measured and predicted times, end to end and layer by layer."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnncost.cli import terminal
from cnncost.cli.options import Command, complete_model, result_format, result_options
from cnncost.cli.roofline import complete_device, device_file_option
from cnncost.cli.running import run_options
from cnncost.errors import BenchError

if TYPE_CHECKING:
    from cnncost.bench.result import Case
    from cnncost.devices import Device
    from cnncost.evaluation.bench import Bench
    from cnncost.evaluation.join import Joined
    from cnncost.sources.resolve import Resolved
    from cnncost.sources.settings import Settings

_SIZE_LIMIT = 2**63
"""Batch sizes have to be less than this: PyTorch's sizes are signed 64-bit integers."""
_LINES = 9
"""Maximum number of networks, which are a line each, in a readable picture over batch sizes."""


@click.command(cls=Command, renamed={"--plots": "--picture"})
@click.argument("models", nargs=-1, metavar="MODEL…", shell_complete=complete_model)
@click.option("--zoo", "whole_zoo", is_flag=True, help="All networks of `cnncost zoo`.")
@click.option("--device", "on", type=click.Choice(["cpu", "cuda"]), default="cpu", help="Device to run on.")
@click.option("--batch", "batches", metavar="N,…", help="Batch sizes, such as 1,8,32; by default that of the input.")
@click.option("--dtype", "dtypes", default="float32", metavar="D,…", help="dtypes, such as float32,bf16.")
@click.option("--training", is_flag=True, help="Time forward and backward, in train mode.")
@click.option("--compile", "compiled", is_flag=True, help="Also time the model compiled by torch.compile.")
@click.option("--threads", type=click.IntRange(min=1, max=4096), metavar="N", help="CPU threads; by default all cores.")
@click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), default=2.0, metavar="S", help="Time limit for each case."
)
@click.option(
    "--ceilings", metavar="NAME", shell_complete=complete_device,
    help="Device to predict with; by default this machine's CPU or GPU is measured first.",
)  # fmt: skip
@device_file_option
@run_options("batch", "dtype")
@click.option(
    "--top", type=click.IntRange(min=0), default=15, metavar="N", help="How many layers of each case to list; 0: none."
)
@click.option(
    "--picture", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Draw pictures into a folder."
)
@result_options(more=", rewritten after each case")
def command(
    models: tuple[str, ...], whole_zoo: bool, on: str, batches: str | None, dtypes: str, training: bool,
    compiled: bool, threads: int | None, seconds: float, ceilings: str | None, device_file: Path | None,
    settings: Settings, top: int, folder: Path | None, form: str | None,
    output: str | None,
) -> int:  # fmt: skip
    """Measure MODEL on this machine, and compare it with the roofline's prediction.

    Weights are real, inputs random. Runs are repeated until the confidence interval of the median is narrow; the
    output says if the machine was not idle. Ctrl-C ends the benchmark and shows the cases that are done.

    \b
    Examples:
      cnncost bench resnet50 --batch 1,8
      cnncost bench net.py:Net --input 1x3x32x32 --training
      cnncost bench --zoo --batch 1,64 -o reports/bench_cpu.md --picture reports/pictures
    """  # noqa: D301  # click's mark for text that is not rewrapped
    names = _names(models, whole_zoo)
    form = result_format(form, output)
    cases = list(_cases(batches, dtypes, training, compiled))
    _check_cases(cases, on, settings)
    resolved = _resolved(names, settings, on, any(case.batch is not None for case in cases))
    _make_folder(folder)
    bench = _new_bench(on, threads, ceilings, device_file)
    bench.whole_zoo = whole_zoo
    if whole_zoo:
        from cnncost.evaluation.history import alexnet

        bench.remarks.append(alexnet())

    from cnncost.evaluation.document import document

    def show(final: bool) -> None:
        """Write the results; before the `final` ones, only to a file, without pictures, and if a case succeeded."""
        if final or (output and not bench.failure()):
            pictures = _pictures(bench, folder if final else None, output)
            terminal.write(document(bench, top, "cnncost " + " ".join(sys.argv[1:]), pictures), form, output)

    start, exit_code = time.perf_counter(), 0
    try:
        for row in _rows(resolved, cases, on, bench.device, seconds, settings):
            bench.rows.append(row)
            bench.seconds = time.perf_counter() - start
            show(final=False)
    except KeyboardInterrupt:
        bench.interrupted, exit_code = True, 130  # the exit status of a command ended by Ctrl-C
    bench.seconds = time.perf_counter() - start
    if not exit_code and (reason := bench.failure()):
        raise BenchError(reason)
    if folder is not None and bench.rows:
        _draw(bench, folder)
    show(final=True)
    return exit_code


def _names(models: tuple[str, ...], whole_zoo: bool) -> list[str]:
    from cnncost import zoo

    if bool(models) == whole_zoo:
        raise click.UsageError(
            "expected one or more MODELs, or --zoo" if not models else "expected MODELs or --zoo, not both"
        )
    return list(models) if models else list(zoo.names())


def _cases(batches: str | None, dtypes: str, training: bool, compiled: bool) -> Iterator[Case]:
    """Yield a case for each dtype and batch size; if `compiled`, also one with torch.compile."""
    from cnncost.bench.result import Case
    from cnncost.devices.model import dtype_named

    sizes: list[int | None] = [None]
    if batches is not None:
        try:
            sizes = [int(text) for text in batches.split(",")]
        except ValueError:
            raise BenchError(f"--batch {batches}: expected whole numbers such as 1,8,32") from None
        if any(size is None or size < 1 for size in sizes):
            raise BenchError(f"--batch {batches}: expected 1 or more")
        if any(size is not None and size >= _SIZE_LIMIT for size in sizes):
            raise BenchError(f"--batch {batches}: expected less than 2^63")
    names = [dtype_named(text) for text in dtypes.split(",")]
    for dtype, size, is_compiled in itertools.product(names, sizes, [False, True] if compiled else [False]):
        yield Case(size, dtype, training, is_compiled)


def _check_cases(cases: list[Case], on: str, settings: Settings) -> None:
    """Reject cases that can't run, before this machine is measured."""
    casting = settings.casting()
    if casting is not None and casting.device != on:
        raise BenchError(
            f"--autocast {settings.autocast}: casts on {casting.device}, and --device {on} is measured; "
            f"expected --autocast {'bf16' if on == 'cpu' else 'cuda:bf16'}, or --device {casting.device}"
        )
    from cnncost.bench.backend import backend
    from cnncost.bench.run import check

    machine = backend(on)
    for case in cases:
        check(case, machine)


def _new_bench(on: str, threads: int | None, ceilings: str | None, device_file: Path | None) -> Bench:
    """Return a benchmark without rows. It predicts for the device `ceilings`, or for this machine, measured now."""
    from cnncost.bench.host import host_record

    device = None
    if ceilings is not None:
        from cnncost.devices import find

        device = find(ceilings, device_file)
    import torch

    from cnncost.bench.backend import backend
    from cnncost.evaluation.bench import Bench

    backend(on)  # raises now if it isn't available
    if threads is not None:
        torch.set_num_threads(threads)
    host, date = host_record(on), f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"
    return Bench(on, host, device or _measured(on, threads), date)


def _measured(on: str, threads: int | None) -> Device:
    from cnncost.bench.ceilings import measure
    from cnncost.cli.progress import steps

    with steps(f"measuring this machine's {on}") as show_step:
        return measure(on, f"this-{on}", threads, show_step)


def _resolved(names: list[str], settings: Settings, on: str, batched: bool) -> list[Resolved]:
    """Build the models before this machine is measured, so that one that can't be benchmarked fails at once."""
    from cnncost.sources.find import find
    from cnncost.sources.resolve import resolve

    sources = [find(name, settings.model_args).without_method("a measurement") for name in names]
    models = [resolve(source, settings.parsed_inputs(), autocast=settings.casting()) for source in sources]
    for model in models:
        if batched:
            model.check_batch_axis()
        if on == "cpu":  # a forward that can't be recorded for the CPU may still run on a GPU
            model.record(settings.tracing)
    return models


def _rows(
    models: list[Resolved], cases: list[Case], on: str, device: Device, seconds: float, settings: Settings
) -> Iterator[Joined]:
    """Yield a row with prediction and measurement for each network and case."""
    from cnncost.bench.backend import backend
    from cnncost.bench.run import measure
    from cnncost.bench.timing import Budget
    from cnncost.cli.progress import progress
    from cnncost.evaluation.predictions import Predictions

    with progress(len(models) * len(cases), "benchmark") as begin_step:
        for model in models:
            predictions = Predictions(model, device, settings.tracing)
            # a GPU raises an error if its memory is too small, so a shortage need not be predicted
            shortage = predictions.shortage if on == "cpu" else lambda _: ""
            remaining = iter(cases)
            begin_step(f"{model.name} {_case_text(next(remaining))}")
            for row in measure(model, cases, backend(on), Budget(seconds=seconds), shortage):
                yield predictions.joined(row)
                if (case := next(remaining, None)) is not None:
                    begin_step(f"{model.name} {_case_text(case)}")


def _case_text(case: Case) -> str:
    """Return a case's batch size for the progress line; `as given` means that of the inputs."""
    return f"batch {case.batch}" if case.batch else "as given"


def _pictures(bench: Bench, folder: Path | None, output: str | None) -> tuple[str, ...]:
    """Return the paths of the pictures, relative to the document's folder if they are inside it."""
    if folder is None:
        return ()
    base = Path(output).resolve().parent if output else Path.cwd()
    paths = [folder.resolve() / name for name in _picture_names(bench)]
    return tuple(str(path.relative_to(base)) if path.is_relative_to(base) else str(path) for path in paths)


def _picture_names(bench: Bench) -> list[str]:
    """Return the names of the pictures, in the order in which `_draw` writes them."""
    batches, networks = {row.case.batch for row in bench.rows}, {row.name for row in bench.rows}
    several = len(batches) > 1 and len(networks) <= _LINES
    return [f"bench_{bench.on}_errors.svg", *([f"bench_{bench.on}_batches.svg"] if several else [])]


def _draw(bench: Bench, folder: Path) -> None:
    from cnncost.plots.bench import draw_batches, draw_errors

    # strict=False: the second picture is not always drawn
    for name, draw in zip(_picture_names(bench), (draw_errors, draw_batches), strict=False):
        draw(bench, str(folder / name))


def _make_folder(folder: Path | None) -> None:
    """Create the folder for pictures and check that it is writable, before this machine is measured."""
    if folder is None:
        return
    from cnncost.plots.picture import check_picture

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"--picture {folder}: can't be created: {error.strerror}; choose another folder") from None
    check_picture(folder / "picture.svg")
