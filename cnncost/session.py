"""Registry of the caches that a process keeps between analyses: inspect, limit and clear them.

Each cache stands beside the code that fills it, and enters itself here. They hold one another's objects (a memo's
entries are found by interned signatures), and so are emptied together: what follows is slower, and the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Any, Protocol

LIMIT = 250_000
"""Entries in all at which the caches are emptied before the next analysis: about 120 MiB. A ResNet-18 takes 150."""


class Cached(Protocol):
    """A function with `functools.cache` around it."""

    def cache_clear(self) -> None:
        """Clear all results."""

    def cache_info(self) -> Any:
        """Cache statistics, including the number of results."""


class Table(Sized, Protocol):
    """A mapping that is a cache."""

    def clear(self) -> None:
        """Clear all entries."""


class Session:
    """The caches of a process.

    Attributes:
        limit: entries in all at which they are emptied; None: never.
        repeats: whether an analysis of a model that was analyzed before may give the Graph of the last one without a
            run, where its code is simple enough to tell that nothing it depends on has changed. Off: what a program
            changes within torch's own modules may stay unseen.
    """

    def __init__(self, limit: int | None = LIMIT) -> None:
        self.limit = limit
        self.repeats = False
        # copied before each walk: a module imported by another thread may register its cache meanwhile
        self._owned: dict[str, tuple[Callable[[], int], Callable[[], None]]] = {}

    def own(self, name: str, size: Callable[[], int], clear: Callable[[], None]) -> None:
        """Register a cache by functions that count and clear its entries."""
        self._owned[name] = (size, clear)

    def own_table(self, name: str, table: Table) -> None:
        """Register a mapping."""
        self.own(name, table.__len__, table.clear)

    def own_results(self, name: str, function: Cached) -> None:
        """Register a cached function."""
        self.own(name, lambda: int(function.cache_info().currsize), function.cache_clear)

    def entries(self) -> dict[str, int]:
        """Entries by cache."""
        return {name: size() for name, (size, _) in tuple(self._owned.items())}

    def clear(self) -> None:
        """Clear all caches. Objects already returned don't change."""
        for _, clear in tuple(self._owned.values()):
            clear()

    def trim(self) -> None:
        """Clear the caches if the limit is reached; call only while nothing is being recorded."""
        if self.limit is not None and sum(size() for size, _ in tuple(self._owned.values())) > self.limit:
            self.clear()


SESSION = Session()


def clear_caches() -> None:
    """Clear all caches, as in a fresh process.

    Figures never depend on it. A process that analyzes without end needs no call: the caches are emptied by themselves
    when they hold `cnncost.session.SESSION.limit` entries.
    """
    SESSION.clear()
