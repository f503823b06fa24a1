"""`cnncost compare`: models side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnncost.cli.options import (
    Command,
    complete_model,
    input_option,
    model_args_option,
    parsed_inputs,
    parsed_model_args,
)

if TYPE_CHECKING:
    from cnncost.budget.compare import Compared

_STYLES = {"heading": "bold", "rule": "dim", "note": "dim", "front": "bold green", "bar": "blue", "guide": "dim"}
_BY_ENDING = {".md": "markdown", ".markdown": "markdown", ".json": "json", ".csv": "csv", ".txt": "rich"}
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
@click.option(
    "--format", "form", type=click.Choice(["rich", "markdown", "csv", "json"]), help="By default that of FILE's ending."
)
@click.option(
    "-o", "--output", metavar="FILE", help="Write to a file: .md, .csv, .json, .txt; a picture: .svg, .png, .pdf."
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
    form = form or (_BY_ENDING[Path(output).suffix.lower()] if output else "rich")
    if form == "rich" and output is None:
        from cnncost.budget.render.compare import to_lines

        terminal.show(to_lines(rows, terminal.width()), _STYLES)
        return
    terminal.put(_rendered(rows, form), output)


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


def _rendered(rows: tuple[Compared, ...], form: str) -> str:
    from cnncost.budget.render import compare
    from cnncost.cli import terminal
    from cnncost.render.layout import plain

    if form == "rich":
        return "\n".join(map(plain, compare.to_lines(rows, terminal.FILE_WIDTH))) + "\n"
    return {"markdown": compare.to_markdown, "csv": compare.to_csv, "json": compare.to_json}[form](rows)
