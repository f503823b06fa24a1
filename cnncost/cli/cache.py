"""`cnncost cache`: recordings on disk."""

from __future__ import annotations

import click

from cnncost import units
from cnncost.cli import terminal
from cnncost.cli.options import Command


@click.command(cls=Command, epilog="\b\nExamples:\n  cnncost cache info\n  cnncost cache clear")
@click.argument("action", type=click.Choice(["info", "clear"]), metavar="info|clear")
def command(action: str) -> None:
    """Show the size of the cache, or remove the recordings in it.

    The recording of a model that was analyzed before, be it of the zoo, a library or your own code, is read from the
    cache, without torch, if nothing that the analysis read has changed: code, files, environment variables, versions.
    `cnncost --no-cache` analyzes it again. CNNCOST_CACHE_DIR names another folder. CNNCOST_NO_CACHE=1 turns the cache
    off; in CI (CI=1) it is also off, unless CNNCOST_CACHE_DIR is set.
    """
    from cnncost.cache import store

    usage = store.clear() if action == "clear" else store.info()
    prefix = "removed " if action == "clear" else ""
    count = f"{units.exact(usage.entries)} recording{'' if usage.entries == 1 else 's'}"
    limit = "" if action == "clear" else f" of {units.data(store.LIMIT)}"
    terminal.echo(f"{prefix}{count}, {units.data(usage.nbytes)}{limit}, in {usage.folder}")
