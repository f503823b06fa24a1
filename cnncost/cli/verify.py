"""`cnncost verify`: other tools' counts of the same model, and why they differ."""

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
    help="Leave fvcore out: it takes real weights and a real forward, for which a large model needs much memory.",
)  # fmt: skip
def command(model: str, settings: Settings, form: str | None, output: str | None, no_fvcore: bool) -> int:
    """Count MODEL by fvcore and by torch's FlopCounterMode, too, and explain every difference by op.

    A difference is explained only if the peer's rules, applied to the ops that cnncost has recorded, give
    the peer's number to the last digit. What remains is reported as unexplained, with its op.

    Exit code: 0 all is explained, 1 something is not or no peer could count the model, 2 wrong usage or a
    model that can't be analyzed.
    """
    from cnncost.sources.find import find
    from cnncost.verify import verify
    from cnncost.verify.render import document

    form = result_format(form, output)
    source = find(model, settings.model_args).without_method("verify")
    verification = verify(settings.resolve(source), trace=settings.tracing, with_fvcore=not no_fvcore)
    terminal.write(document(verification), form, output)
    return 0 if verification.explained else 1
