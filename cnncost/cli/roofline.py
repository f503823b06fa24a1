"""`cnncost roofline`: predicted time on a device, op by op, without the device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from cnncost.cli import terminal
from cnncost.cli.options import Command, check_places, model_argument, result_options
from cnncost.cli.parallel import built_model, parallel_options
from cnncost.cli.running import cached, is_cached, run_options
from cnncost.devices.model import FORMATS as NUMBER_FORMATS
from cnncost.devices.model import LINKS
from cnncost.errors import CnncostError
from cnncost.render.formats import FORMATS, VIEWERS, viewed

if TYPE_CHECKING:
    from cnncost.report.prediction import By, Prediction
    from cnncost.sources.parallel import Parallel
    from cnncost.sources.settings import Settings

_ROWS = 40
"""Number of rows that the text format shows by default."""
_VIEWERS = {form.name for form in VIEWERS}


def complete_device(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001  # click's signature
    """Complete names of devices."""
    from cnncost.devices import catalog

    try:
        return [CompletionItem(d.name, help=d.title) for d in catalog().values() if d.name.startswith(incomplete)]
    except CnncostError:
        return []


device_file_option = click.option(
    "--device-file", type=click.Path(path_type=Path), metavar="FILE", help="A file that describes further devices."
)


@click.command(cls=Command, renamed={"--plot": "--picture"})
@model_argument
@click.option(
    "--device", "device_name", required=True, metavar="NAME", shell_complete=complete_device,
    help="One of `cnncost devices`.",
)  # fmt: skip
@device_file_option
@run_options("dtype")
@click.option(
    "--dtype", metavar="NAME",
    help=f"dtype of parameters, inputs and other floats: {', '.join(NUMBER_FORMATS)}, or a short name such as bf16; by "
    "default the model's own.",
)  # fmt: skip
@parallel_options
@click.option(
    "--training", "step", is_flag=True, help="Predict a training step: forward, and backward of the sum of the outputs."
)
@click.option(
    "--link", type=click.Choice(list(LINKS)),
    help="With --parallel: the link that all collectives use; by default the device's fastest within a node, and its "
    "network between nodes.",
)  # fmt: skip
@click.option(
    "--node", type=click.IntRange(min=1), metavar="N",
    help="With --parallel: ranks per node; by default as many as the device's fastest link joins.",
)  # fmt: skip
@click.option(
    "--algorithm",
    type=click.Choice(["ring", "tree"]),
    help="With --parallel: algorithm for all-reduce; by default ring.",
)
@click.option(
    "--by",
    type=click.Choice(["layer", "op", "kind"]),
    default="layer",
    help="What each row is: a layer (the default), an op or a kind of op.",
)
@click.option(
    "--top", type=click.IntRange(min=1), metavar="N", help=f"Show the N slowest rows; by default {_ROWS} in text."
)
@click.option("--all", "everything", is_flag=True, help="Show all rows.")
@click.option("--explain", "path", metavar="PATH", help="Show the formula of each op of a module, with its numbers.")
@click.option("--epochs", type=float, metavar="N", help="With --examples: estimate the time of training for N epochs.")
@click.option("--examples", type=int, metavar="N", help="With --epochs: the number of examples in an epoch.")
@click.option(
    "--devices",
    "count",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="With --epochs: the number of devices; by default 1.",
)
@click.option("--picture", metavar="FILE", help="Draw the roofline with a dot for each layer: .png, .svg or .pdf.")
@result_options(FORMATS.also(*VIEWERS))
def command(
    model: str, device_name: str, device_file: Path | None, settings: Settings, dtype: str | None,
    parallel: Parallel | None, step: bool, link: str | None, node: int | None, algorithm: str | None, by: By,
    top: int | None, everything: bool, path: str | None, epochs: float | None, examples: int | None, count: int,
    picture: str | None, form: str | None, output: str | None,
) -> None:  # fmt: skip
    """Predict the time of MODEL on a device with the roofline model; the device itself is not needed.

    The time of an op is the longest of three: launching it, computing at the device's peak, and moving its bytes.
    With figures from a datasheet, the result is a lower bound; with ceilings measured by `cnncost devices --measure`,
    it is a prediction. With --parallel, it is the time of one rank of a split model, including communication.

    \b
    Examples:
      cnncost roofline resnet50 --device h100 --dtype bf16 --batch 64
      cnncost roofline lenet1 --device dsp32c
      cnncost roofline hf:llama --device h100 --dtype bf16 --training --parallel fsdp=16,tp=4 --node 8
      cnncost roofline alexnet_two_gpu --device gtx580 --batch 128 --epochs 90 --examples 1200000 --devices 2
    """  # noqa: D301  # click's mark for text that is not rewrapped
    if (epochs is None) != (examples is None):
        raise click.UsageError("an estimate for training needs both --epochs and --examples")
    if epochs is not None and parallel is not None:
        raise click.UsageError("an estimate for training needs a whole model; leave out --epochs or --parallel")
    _check_links(parallel, link, node, algorithm)
    if form in _VIEWERS and (path is not None or by != "layer" or top is not None or everything):
        raise click.UsageError(f"--format {form} shows all ops; leave out --explain, --by, --top and --all")
    if path is not None and (form not in {None, "text"} or by != "layer" or top is not None or everything):
        raise click.UsageError("--explain describes one module in words; leave out --format, --by, --top and --all")
    form = FORMATS.also(*VIEWERS).choose(form, output) if path is None else "text"
    check_places(output, picture)
    from cnncost.report import prediction_text as render

    link_options = {"link": link, "node": node, "algorithm": algorithm or "ring"}
    prediction = _prediction(
        model, settings, device_name, device_file, dtype, parallel, link_options, step=step, training=epochs is not None
    )
    if epochs is not None and examples is not None:
        prediction = _with_estimate(prediction, epochs, examples, count)
    if picture is not None:
        from cnncost.plots.roofline import draw

        draw(prediction, picture)
    rows = None if everything else top or (_ROWS if form == "text" else None)
    if path is not None:
        terminal.put(render.explain(prediction, path), output, for_people=True)
    elif form in _VIEWERS:
        from cnncost.report.timeline import TIMELINES

        terminal.put(viewed(TIMELINES[form](prediction), form), output)
    else:
        terminal.write(render.document(prediction, by, rows), form, output)


def _check_links(parallel: Parallel | None, link: str | None, node: int | None, algorithm: str | None) -> None:
    """Raise UsageError for options on links without --parallel, or that exclude each other."""
    options = {"--link": link, "--node": node, "--algorithm": algorithm}
    for name, value in options.items():
        if value is not None and parallel is None:
            raise click.UsageError(f"{name} is for a split model; also give --parallel, such as fsdp=8,tp=2")
    if link is not None and node is not None:
        raise click.UsageError("--link is the link between all ranks, on any node; leave out --node")


def _prediction(
    model: str, settings: Settings, device_name: str, device_file: Path | None, dtype: str | None,
    parallel: Parallel | None, link_options: dict[str, Any], *, step: bool, training: bool,
) -> Prediction:  # fmt: skip
    """Return the prediction for forward or, with `step`, for a training step.

    With `training`, a training step is analyzed in any case, because the estimate of a whole training needs it.
    """
    from cnncost.devices import find
    from cnncost.devices.model import dtype_named
    from cnncost.passes.links import topology
    from cnncost.report.prediction import Prediction, predicted

    device = find(device_name, device_file)
    dtype_name = None if dtype is None else dtype_named(dtype)
    if dtype_name is not None:
        device.peak(dtype_name)  # raises before the model is built if the device has none
    from cnncost.analysis import analyze

    if parallel is None and is_cached(model, settings):
        report = cached(model, settings, training=training or step)
    else:
        trace = "static" if parallel else settings.tracing
        with built_model(model, settings, parallel) as built:
            report = analyze(built, trace=trace, training=training or step)
    times, links = predicted(report, device, dtype_name, topology(**link_options), step)
    return Prediction(report, times, links=links, step=step)


def _with_estimate(prediction: Prediction, epochs: float, examples: int, count: int) -> Prediction:
    from dataclasses import replace

    from cnncost.report.prediction import Training, estimate

    training = Training(epochs, examples, count)
    return replace(prediction, training=(training, estimate(prediction, training)))
