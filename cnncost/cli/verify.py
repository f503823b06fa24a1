"""`cnncost verify`: other tools' counts of the same model, with the reasons why they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cnncost.cli import terminal
from cnncost.cli.options import Command, model_argument, result_format, result_options
from cnncost.cli.running import run_options

if TYPE_CHECKING:
    from cnncost.sources.settings import Settings


@click.command(cls=Command)
@model_argument
@run_options()
@result_options()
@click.option(
    "--no-fvcore", is_flag=True,
    help="Leave out fvcore: it needs real weights and a real forward, which take a lot of memory for a large model.",
)  # fmt: skip
def command(model: str, settings: Settings, form: str | None, output: str | None, no_fvcore: bool) -> int:
    """Count MODEL with fvcore and torch's FlopCounterMode as well, and explain every difference by op.

    A difference counts as explained only if the other tool's rules, applied to the ops that cnncost has recorded, give
    that tool's number to the last digit. All others are reported as unexplained, with their ops.

    Exit code: 0: all differences are explained; 1: one is not, or no other tool could count the model; 2: wrong usage,
    or a model that can't be analyzed.
    """
    from cnncost.sources.find import find
    from cnncost.verify import verify
    from cnncost.verify.render import document

    form = result_format(form, output)
    source = find(model, settings.model_args).without_method("verify")
    verification = verify(settings.resolve(source), trace=settings.tracing, with_fvcore=not no_fvcore)
    terminal.write(document(verification), form, output)
    return 0 if verification.explained else 1
