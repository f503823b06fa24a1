"""`cnncost completion`: shell completion."""

from __future__ import annotations

import click

from cnncost.cli import terminal
from cnncost.cli.options import Command

_LINES = {
    "bash": 'eval "$(_CNNCOST_COMPLETE=bash_source cnncost)"',
    "zsh": 'eval "$(_CNNCOST_COMPLETE=zsh_source cnncost)"',
    "fish": "_CNNCOST_COMPLETE=fish_source cnncost | source",
}


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(list(_LINES)))
def command(shell: str) -> None:
    """Print the line that turns on completion; add it to your shell's startup file.

    Completes commands, options, the zoo's names and files.
    """
    terminal.echo(_LINES[shell])
