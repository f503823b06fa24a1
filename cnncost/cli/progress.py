"""Progress on stderr, in a terminal alone: output that is piped stays what it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def steps(what: str) -> Iterator[Callable[[str], None]]:
    """A line that tells what is going on; the function that is yielded changes its end."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{what} …") as status:
        yield lambda text: status.update(f"{what}: {text} …")


@contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[str], None]]:
    """A bar of so many steps; the function that is yielded ends one and names the next."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        first = True

        def advance(text: str) -> None:
            nonlocal first
            bar.update(task, description=text, advance=0 if first else 1)
            first = False

        yield advance
