"""`cnncost compare`: models side by side."""

from __future__ import annotations

from pathlib import Path

import click

from cnncost.cli.options import (
    Command,
    complete_model,
    input_option,
    model_args_option,
    parsed_inputs,
    parsed_model_args,
)
from cnncost.render.formats import ENDINGS, FORMATS

_BY_ENDING = {**ENDINGS, ".txt": "rich"}
_PICTURES = (".svg", ".png", ".pdf")


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n  cnncost compare resnet18 resnet34 resnet50 vgg16\n"
    "  cnncost compare alexnet vgg16 resnet50 -o pareto.svg\n"
    "  cnncost compare before.json net.py:Net --input 1x3x32x32",
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...", shell_complete=complete_model)
@input_option
@model_args_option
@click.option("--format", "form", type=click.Choice(["rich", *FORMATS]), help="By default that of FILE's ending.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Write to a file: .md, .csv, .json, .html, .tex, .txt; a picture: .svg, .png, .pdf.",
)
def command(
    models: tuple[str, ...], inputs: tuple[str, ...], model_args: tuple[str, ...], form: str | None, output: str | None
) -> None:
    """Parameters, MACs, FLOPs and memory of several models, and which of them no other one beats.

    Models may be saved reports. A picture shows parameters, MACs and memory, with the Pareto front.
    """
    from cnncost.analysis import analyze
    from cnncost.budget.compare import compare
    from cnncost.cli import terminal
    from cnncost.sources.find import find

    drawn = output is not None and Path(output).suffix.lower() in _PICTURES
    _check(output, drawn, form)
    given, arguments = parsed_inputs(inputs), parsed_model_args(model_args)
    reports = []
    for model in models:
        source = find(model)
        own = {} if source.saved else {"inputs": given, "model_args": arguments}  # fixed in a report
        reports.append((model, analyze(source, **own)))
    rows = compare(reports)
    if drawn and output is not None:
        from cnncost.plots.pareto import draw_pareto

        draw_pareto(rows, output)
        return
    from cnncost.budget.render.compare import document

    terminal.write(document(rows), form or (_BY_ENDING[Path(output).suffix.lower()] if output else "rich"), output)


def _check(output: str | None, drawn: bool, form: str | None) -> None:
    """Reject unwritable outputs before the work."""
    if output is None:
        return
    if drawn:
        if form is not None:
            raise click.UsageError("--format is for tables; the picture's format is that of its ending")
        from cnncost.plots.picture import check_picture

        check_picture(output)
        return
    from cnncost.files import check, chosen

    chosen(form, output, {**_BY_ENDING, **dict(zip(_PICTURES, _PICTURES, strict=True))}, "rich")
    check(output)
