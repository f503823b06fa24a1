"""`cnncost formula`: costs as exact functions of batch, sizes and widths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cnncost.cli import terminal
from cnncost.cli.options import Command, check_places, model_argument, result_options
from cnncost.cli.running import run_options
from cnncost.render.formats import FORMATS

if TYPE_CHECKING:
    from cnncost.sources.settings import Settings


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n  cnncost formula resnet50 --vary batch,height,width\n"
    "  cnncost formula hf:bert --vary batch,sequence\n"
    "  cnncost formula vgg16 --vary batch,size --solve 'macs <= 20G'\n"
    "  cnncost formula net.py:Net --input ids=1x128:int64 --vary ids.1=64..512\n"
    "  cnncost formula net.py:build --input 1x3x32x32 --vary width=16,32,64 --by layer",
)
@model_argument
@click.option(
    "--vary", multiple=True, required=True, metavar="NAME[=SIZES]",
    help="batch, height, width, depth, size (a square), sequence, length; an axis of an input, ids.1=64..512; or a "
    "keyword of the factory, width=16,32,64. Separate several by commas; a+b vary together.",
)  # fmt: skip
@run_options("batch", "dtype")
@click.option("--inference", is_flag=True, help="Leave out the training step.")
@click.option(
    "--by", type=click.Choice(["total", "layer"]), default="total", help="layer: also show formulas of the layers."
)
@click.option(
    "--solve", "budgets", multiple=True, metavar="BUDGET",
    help="Find the largest size of each variable within a budget, such as 'macs <= 2G', with all others at the model's "
    "sizes.",
)  # fmt: skip
@click.option("--picture", metavar="FILE", help="Draw MACs over each variable, with the points: .png, .svg or .pdf.")
@result_options()
def command(
    model: str, vary: tuple[str, ...], settings: Settings, inference: bool, by: str, budgets: tuple[str, ...],
    picture: str | None, form: str | None, output: str | None,
) -> None:  # fmt: skip
    """Show the costs of MODEL as exact formulas of its batch, image size, sequence length or width.

    MODEL is analyzed at a few sizes. Formulas with exact coefficients are derived from these analyses, and checked by
    analyses at other sizes, which must agree exactly. MODEL is as for `cnncost summarize`.
    """
    form = FORMATS.choose(form, output)
    if budgets and form != "text":
        raise click.UsageError("--solve answers in words; leave out --format, or write to a .txt file")
    check_places(output, picture)
    from cnncost.laws.derive import formula
    from cnncost.laws.render import document, solution_text

    laws = formula(
        model, settings.parsed_inputs(), vary, model_args=settings.model_args, training=not inference,
        trace=settings.tracing, autocast=settings.autocast,
    )  # fmt: skip
    answers = [solution_text(budget, solution) for budget in budgets for solution in laws.solve(budget).values()]
    if picture is not None:
        from cnncost.plots.laws import draw_laws

        draw_laws(laws, picture)
    terminal.write(document(laws, by == "layer", answers), form, output)
