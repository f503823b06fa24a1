"""Registry of a process's caches, which persist between analyses; it inspects, limits and clears them.

Each cache is defined next to the code that fills it, which registers it here. Caches refer to one another's objects (a
memo's keys are interned signatures), so they are cleared together. Clearing changes no results; it only costs time.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Any, Protocol

LIMIT = 250_000
"""Number of entries in all caches above which they are cleared before the next analysis.

This many entries take about 120 MiB. A ResNet-18 adds 150.
"""


class Cached(Protocol):
    """A function wrapped by `functools.cache`."""

    def cache_clear(self) -> None:
        """Clear all cached results."""

    def cache_info(self) -> Any:
        """Return cache statistics, including the number of results."""


class Table(Sized, Protocol):
    """A mapping used as a cache."""

    def clear(self) -> None:
        """Clear all entries."""


class Session:
    """The caches of a process.

    Attributes:
        limit: number of entries in all caches above which `trim` clears them; None: it never does.
        repeats: whether analyzing a model again may return its last Graph without running the model, if its code is
            simple enough to verify that nothing that it depends on has changed. Off by default, because a change inside
            torch's own modules may go unnoticed.
    """

    def __init__(self, limit: int | None = LIMIT) -> None:
        self.limit = limit
        self.repeats = False
        # copied before each iteration, because a module imported by another thread may register its cache meanwhile
        self._owned: dict[str, tuple[Callable[[], int], Callable[[], None]]] = {}

    def own(self, name: str, size: Callable[[], int], clear: Callable[[], None]) -> None:
        """Register a cache by functions that count and clear its entries."""
        self._owned[name] = (size, clear)

    def own_table(self, name: str, table: Table) -> None:
        """Register a cache that is a mapping."""
        self.own(name, table.__len__, table.clear)

    def own_results(self, name: str, function: Cached) -> None:
        """Register a function wrapped by `functools.cache`."""
        self.own(name, lambda: int(function.cache_info().currsize), function.cache_clear)

    def entries(self) -> dict[str, int]:
        """Return the number of entries of each cache, by name."""
        return {name: size() for name, (size, _) in tuple(self._owned.items())}

    def clear(self) -> None:
        """Clear all caches. Objects that were already returned don't change."""
        for _, clear in tuple(self._owned.values()):
            clear()

    def trim(self) -> None:
        """Clear the caches if the limit is exceeded. Must not be called while something is being recorded."""
        if self.limit is not None and sum(size() for size, _ in tuple(self._owned.values())) > self.limit:
            self.clear()


SESSION = Session()


def clear_caches() -> None:
    """Clear all caches, as in a fresh process.

    Results never depend on the caches. A long-running process need not call this function: before an analysis, caches
    are cleared automatically if they have more than `cnncost.session.SESSION.limit` entries.
    """
    SESSION.clear()
