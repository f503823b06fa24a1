"""Progress on stderr, only if that is a terminal.

There is no separate drawing thread, because it would disturb measurements.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


@contextmanager
def steps(activity: str) -> Iterator[Callable[[str], None]]:
    """Show a line for each step of an activity; the yielded function begins a step with the given name."""
    is_terminal = sys.stderr.isatty()

    def begin_step(text: str) -> None:
        if is_terminal:
            click.echo(f"{activity}: {text} …", err=True)

    yield begin_step


@contextmanager
def progress(total: int, activity: str) -> Iterator[Callable[[str], None]]:
    """Show a progress bar with `total` steps; each call of the yielded function ends a step and begins the next one."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task, done = bar.add_task(activity, total=total), 0

        def begin_step(text: str) -> None:
            nonlocal done
            bar.update(task, description=text, completed=done, refresh=True)
            done += 1

        yield begin_step
