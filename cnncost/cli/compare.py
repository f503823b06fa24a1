"""`cnncost compare`: models side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnncost.cli.options import Command, complete_model, note, result_format, result_options
from cnncost.cli.running import at_sizes, run_options

if TYPE_CHECKING:
    from cnncost.sources.settings import Settings

_PICTURES = (".svg", ".png", ".pdf")


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n  cnncost compare resnet18 resnet34 resnet50 vgg16\n"
    "  cnncost compare alexnet vgg16 resnet50 --picture pareto.svg\n"
    "  cnncost compare before.json net.py:Net --input 1x3x32x32\n"
    "  cnncost compare resnet18 resnet50 --vary size=160,224,288\n"
    "  cnncost compare net.py:build --input 1x3x32x32 --vary width=16,32,64 --vary batch=1,8\n"
    "  cnncost compare resnet18 resnet50 vgg16 --join accuracy.csv --picture accuracy.svg",
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...", shell_complete=complete_model)
@run_options()
@click.option(
    "--vary", multiple=True, metavar="NAME=SIZES",
    help="A row for each size: size=160,224,288 (a square), batch=1,8,64, height, width, sequence, an axis of an "
    "input, ids.1=64,128, or a keyword of the factory, width=16,32,64. Repeat it for all combinations.",
)  # fmt: skip
@click.option(
    "--join", "table", metavar="CSV",
    help="Add columns of your own, such as accuracy, from a CSV file with a column model and, optionally, the sizes "
    "that --vary names; or published: the top-1 accuracies stated by torchvision.",
)  # fmt: skip
@click.option(
    "--quality", metavar="COLUMN",
    help="Column of --join that the Pareto front and the picture compare with MACs; by default the first one with "
    "numbers. -COLUMN: less is better.",
)  # fmt: skip
@click.option(
    "--picture",
    metavar="FILE",
    help="Draw parameters, MACs and memory, or the joined column over MACs: .png, .svg or .pdf.",
)
@result_options()
def command(
    models: tuple[str, ...], settings: Settings, vary: tuple[str, ...], table: str | None, quality: str | None,
    picture: str | None, form: str | None, output: str | None,
) -> None:  # fmt: skip
    """Compare parameters, MACs, FLOPs and memory of several models, and mark their Pareto front.

    Models may be saved reports. A picture shows parameters, MACs and memory, with the Pareto front; with --join, the
    joined column over MACs.
    """
    from cnncost.budget import join
    from cnncost.budget.compare import compare
    from cnncost.cli import terminal

    output, picture = _places(output, picture, form)
    form = result_format(form, output, picture)
    if quality is not None and table is None:
        raise click.UsageError("--quality names a column of --join; also give --join, a CSV file with a column model")
    from cnncost.published import PUBLISHED, table_of

    table_to_join = None if table in {None, PUBLISHED} else join.read(str(table))
    names, sizes, reports = at_sizes(models, settings, vary)
    rows = compare(list(zip(names, reports, strict=True)), sizes)
    if table == PUBLISHED:
        table_to_join = table_of(rows, settings.model_args or {})
    joined = None if table_to_join is None else join.join(rows, table_to_join, quality)
    rows = rows if joined is None else joined.rows
    if picture is not None:
        from cnncost.plots.pareto import draw_pareto, draw_quality

        if joined is not None and joined.quality is not None:
            draw_quality(rows, joined.quality, picture)
        else:
            draw_pareto(rows, picture)
    from cnncost.budget.render.compare import document
    from cnncost.budget.render.compare_page import page

    terminal.write((page if form == "html" else document)(rows, joined), form, output)


def _places(output: str | None, picture: str | None, form: str | None) -> tuple[str | None, str | None]:
    """Return the files of table and picture: for one more version, `-o` still accepts a picture."""
    if output is None or Path(output).suffix.lower() not in _PICTURES:
        return output, picture
    if picture is not None:
        raise click.UsageError(f"-o {output}: is a picture, and so is --picture {picture}; -o is for tables")
    if form is not None:
        raise click.UsageError("--format is for tables; the file's ending determines the format of a picture")
    note(f"use --picture {output} to draw a picture; from the next version on, -o is only for tables")
    return None, output
