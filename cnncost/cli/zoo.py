"""`cnncost zoo`: the reference networks."""

from __future__ import annotations

import click


@click.command()
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the reference networks, or tell all of one: paper, deviations, published figures."""
    raise click.UsageError("")
