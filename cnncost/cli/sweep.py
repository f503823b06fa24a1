"""`cnncost sweep`: many models at many sizes as one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cnncost.cli.options import (
    Command,
    complete_model,
    input_option,
    model_args_option,
    note,
    parsed_model_args,
    result_format,
    result_options,
)
from cnncost.cli.roofline import complete_device
from cnncost.cli.running import autocast_option, trace_option
from cnncost.sweeps.formats import FILES, SHOWN

if TYPE_CHECKING:
    from cnncost.sweeps.grid import Grid
    from cnncost.sweeps.table import Table


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n  cnncost sweep 'timm:resnet*' lenet5 --batch 1,8 -o sweep.parquet\n"
    "  cnncost sweep 'torchvision:vgg*' --input-size 160,224,192x288 --device h100,a100 --dtype bf16 -o sweep.csv\n"
    "  cnncost sweep 'torchvision:resnet*' --columns macs,accuracy --scatter macs,accuracy --picture front.svg\n"
    "  cnncost sweep --grid grid.toml --backend dask --scheduler tcp://host:8786 -o sweep.jsonl",
)
@click.argument("models", nargs=-1, metavar="[MODEL]...", shell_complete=complete_model)
@click.option("--grid", "file", metavar="FILE", help="Models, sizes and dtypes in TOML or YAML, instead of options.")
@click.option("--input-size", metavar="SIZES", help="Heights and widths of images: 160,224 or 192x288.")
@click.option("--batch", metavar="SIZES", help="Batch sizes: 1,8.")
@click.option(
    "--vary", multiple=True, metavar="NAME=SIZES",
    help="What else varies: sequence=128,512; an axis of an input, ids.1=64..512:64; or a keyword of the factory, "
    "width=16,32. Repeatable.",
)  # fmt: skip
@click.option("--dtype", metavar="NAMES", help="dtypes of parameters and inputs, such as float32,bf16.")
@click.option(
    "--device", metavar="NAMES", shell_complete=complete_device,
    help="Devices such as h100,a100; each adds a column of predicted seconds.",
)  # fmt: skip
@click.option(
    "--columns", metavar="NAMES", help="Figures, such as params,macs,training_peak,receptive_field,accuracy, or all."
)
@click.option("--join", metavar="CSV", help="Add columns of a CSV file with a column model, such as accuracies.")
@input_option
@model_args_option
@autocast_option
@trace_option
@click.option(
    "--jobs", type=click.IntRange(min=1), metavar="N", help="Number of processes; by default one for each core."
)
@click.option(
    "--timeout", metavar="TIME", help="Wall-clock limit for each point, such as 120s or 2m. A point that takes longer "
    "becomes a row with an error, and its process is replaced.",
)  # fmt: skip
@click.option("--backend", type=click.Choice(["processes", "dask", "ray"]), default="processes", show_default=True)
@click.option("--scheduler", metavar="ADDRESS", help="Address of Dask's scheduler, or of the Ray cluster.")
@click.option("--yes", is_flag=True, help="Confirm a grid of more than a million points.")
@click.option(
    "--scatter", metavar="X,Y", help="The columns that --picture plots against each other, with their Pareto front. "
    "-Y: less is better, +Y: more is better. Three or more: parallel coordinates.",
)  # fmt: skip
@click.option("--picture", metavar="FILE", help="Draw two or more columns: .png, .svg or .pdf.")
@result_options(SHOWN, FILES)
def command(
    models: tuple[str, ...], file: str | None, jobs: int | None, backend: str, scheduler: str | None, yes: bool,
    timeout: str | None,
    scatter: str | None, picture: str | None, form: str | None, output: str | None, join: str | None, **options: Any,
) -> None:  # fmt: skip
    """Show the costs of many models at all combinations of sizes and dtypes, one row each.

    MODEL is as for `cnncost summarize`, or a quoted pattern of names: 'timm:resnet*'. A model that fails gets a row
    with its error. With -o, an interrupted sweep continues where it stopped when the same command is run again.
    """
    from cnncost.sweeps import api
    from cnncost.sweeps.read import duration

    form = result_format(form, output, picture, FILES)
    seconds = None if timeout is None else duration(timeout)
    grid = _grid(models, file, {name: value for name, value in options.items() if value not in (None, ())})
    columns = _columns_to_draw(grid, scatter, picture, join)
    from cnncost.cli.progress import progress

    with progress(len(grid), "sweep") as begin_step:
        result = api.run(
            grid, jobs=jobs, output=output, join=join, backend=backend, scheduler=scheduler, confirmed=yes,
            timeout=seconds, progress=lambda _, model: begin_step(model),
            write_table=lambda table: _write(table, form, output),
        )  # fmt: skip
    if output is None:
        _write(result, form, None)
    if picture is not None:
        from cnncost.plots.sweep import draw

        draw(result.names, list(result.records()), columns, picture)
    if result.failed:
        note(f"{result.failed:,} of {len(result.rows):,} rows failed; their column error says why")


def _write(result: Table, form: str, output: str | None) -> None:
    from cnncost.cli import terminal
    from cnncost.sweeps import api, page, table

    if form == "parquet" and output is not None:
        api.save(result, output)
    elif form == "jsonl":
        terminal.put(table.to_jsonl(result), output)
    else:
        terminal.write((page.page if form == "html" else table.document)(result), form, output)


def _grid(models: tuple[str, ...], file: str | None, options: dict[str, Any]) -> Grid:
    """Return the grid in a file, or the one that MODELs and the given options describe."""
    from cnncost.sweeps.read import from_data, from_file

    if file is not None:
        if models or options:
            raise click.UsageError("--grid names the models and what varies; leave out MODEL and the options for these")
        return from_file(file)
    if not models:
        raise click.UsageError("expected a MODEL, such as 'timm:resnet*', or --grid FILE")
    data: dict[str, Any] = {
        "input": options.pop("inputs", ()), "model_args": parsed_model_args(options.pop("model_args", ())),
        **{name: _split(options.pop(name)) for name in ("dtype", "device", "columns") if name in options}, **options,
    }  # fmt: skip
    return from_data(models, data)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _columns_to_draw(grid: Grid, scatter: str | None, picture: str | None, join: str | None) -> list[str]:
    """Return the columns to draw, and check them before the sweep begins."""
    if picture is None:
        if scatter is not None:
            raise click.UsageError("--scatter names the columns of a picture; also give --picture FILE")
        return []
    from cnncost.budget.join import read
    from cnncost.plots.sweep import checked
    from cnncost.sweeps.table import columns

    all_columns = columns(grid, None if join is None else read(join))
    numbers = [column.name for column in all_columns if column.right]  # only numbers are aligned to the right
    requested = _split(scatter) if scatter is not None else [name for name in ("macs", "params") if name in numbers]
    return checked(requested, numbers)
