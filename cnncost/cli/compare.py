"""`cnncost compare`: models side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnncost.cli.options import Command, check_places, complete_model, format_option, note, output_option
from cnncost.cli.running import run_options, side_by_side
from cnncost.render.formats import ENDINGS

if TYPE_CHECKING:
    from cnncost.sources.settings import Settings

_PICTURES = (".svg", ".png", ".pdf")


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n  cnncost compare resnet18 resnet34 resnet50 vgg16\n"
    "  cnncost compare alexnet vgg16 resnet50 --picture pareto.svg\n"
    "  cnncost compare before.json net.py:Net --input 1x3x32x32",
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...", shell_complete=complete_model)
@run_options()
@click.option("--picture", metavar="FILE", help="Draw parameters, MACs and memory: .png, .svg or .pdf.")
@format_option()
@output_option()
def command(
    models: tuple[str, ...], settings: Settings, picture: str | None, form: str | None, output: str | None
) -> None:
    """Parameters, MACs, FLOPs and memory of several models, and which of them no other one beats.

    Models may be saved reports. A picture shows parameters, MACs and memory, with the Pareto front.
    """
    from cnncost.budget.compare import compare
    from cnncost.cli import terminal
    from cnncost.files import chosen

    output, picture = _places(output, picture, form)
    form, only_drawn = chosen(form, output, ENDINGS, "text"), picture is not None and not (form or output)
    check_places(output, picture)
    rows = compare(list(zip(models, side_by_side(models, settings), strict=True)))
    if picture is not None:
        from cnncost.plots.pareto import draw_pareto

        draw_pareto(rows, picture)
    if only_drawn:
        return
    from cnncost.budget.render.compare import document

    terminal.write(document(rows), form, output)


def _places(output: str | None, picture: str | None, form: str | None) -> tuple[str | None, str | None]:
    """Where table and picture go: `-o` took pictures before, and does for one more version."""
    if output is None or Path(output).suffix.lower() not in _PICTURES:
        return output, picture
    if picture is not None:
        raise click.UsageError(f"-o {output}: is a picture, as --picture {picture} is; -o is for tables")
    if form is not None:
        raise click.UsageError("--format is for tables; the picture's format is that of its ending")
    note(f"a picture is now drawn by --picture {output}; -o takes tables alone from the next version on")
    return None, output
