"""`cnncost verify`: a second opinion, and why it differs."""

from __future__ import annotations

import click

from cnncost.cli import terminal
from cnncost.cli.options import (
    Command,
    input_option,
    model_args_option,
    model_argument,
    parsed_inputs,
    parsed_model_args,
)
from cnncost.render.formats import ENDINGS, FORMATS

_FORMATS = ("text", *FORMATS)
_BY_ENDING = {**ENDINGS, ".txt": "text"}


@click.command(cls=Command)
@model_argument
@input_option
@model_args_option
@click.option(
    "--format", "form", type=click.Choice(_FORMATS),
    help="How to show the result; by default text, or by FILE's ending.",
)  # fmt: skip
@click.option("-o", "--output", metavar="FILE", help="Write to a file: .md, .csv, .json, .html, .tex or .txt.")
@click.option(
    "--no-fvcore", is_flag=True,
    help="Leave fvcore out: it takes real weights and a real forward, for which a large model needs much memory.",
)  # fmt: skip
def command(
    model: str,
    inputs: tuple[str, ...],
    model_args: tuple[str, ...],
    form: str | None,
    output: str | None,
    no_fvcore: bool,
) -> int:
    """Count MODEL by fvcore and by torch's FlopCounterMode, too, and explain every difference by op.

    A difference is explained only if the peer's rules, applied to the ops that cnncost has recorded, give
    the peer's number to the last digit. What is left over is told as unexplained, with its op.

    Exit code: 0 all is explained, 1 something is not or no peer could count the model, 2 wrong usage or a
    model that can't be analyzed.
    """
    given, arguments = parsed_inputs(inputs), parsed_model_args(model_args)

    from cnncost.files import check, chosen
    from cnncost.verify import verify
    from cnncost.verify.render import document

    if output is not None:  # check before the work
        form = chosen(form, output, _BY_ENDING, "text")
        check(output)
    found = verify(model, given, model_args=arguments, with_fvcore=not no_fvcore)
    terminal.write(document(found), form or "text", output)
    return 0 if found.explained else 1
