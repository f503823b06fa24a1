"""Progress on stderr, only in a terminal: piped output is unaffected.

No separate drawing thread, which would take time from measurements.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


@contextmanager
def steps(what: str) -> Iterator[Callable[[str], None]]:
    """Show one line per step; the yielded function starts a step by name."""
    shown = sys.stderr.isatty()

    def tell(text: str) -> None:
        if shown:
            click.echo(f"{what}: {text} …", err=True)

    yield tell


@contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[str], None]]:
    """Show a progress bar of `total` steps; the yielded function ends one step and names the next."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task, done = bar.add_task(what, total=total), 0

        def advance(text: str) -> None:
            nonlocal done
            bar.update(task, description=text, completed=done, refresh=True)
            done += 1

        yield advance
