"""What a process remembers between analyses, in one place: to be looked at, bounded and emptied.

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
        """Forget all results."""

    def cache_info(self) -> Any:
        """How many results there are."""


class Table(Sized, Protocol):
    """A mapping that is a cache."""

    def clear(self) -> None:
        """Forget all entries."""


class Session:
    """The caches of a process.

    Attributes:
        limit: entries in all at which they are emptied; None: never.
    """

    def __init__(self, limit: int | None = LIMIT) -> None:
        self.limit = limit
        self._owned: dict[str, tuple[Callable[[], int], Callable[[], None]]] = {}

    def own(self, name: str, size: Callable[[], int], clear: Callable[[], None]) -> None:
        """Enter a cache: how many entries it has, and how it is emptied."""
        self._owned[name] = (size, clear)

    def own_table(self, name: str, table: Table) -> None:
        """Enter a mapping."""
        self.own(name, table.__len__, table.clear)

    def own_results(self, name: str, function: Cached) -> None:
        """Enter the results of a function."""
        self.own(name, lambda: int(function.cache_info().currsize), function.cache_clear)

    def entries(self) -> dict[str, int]:
        """Entries by cache."""
        return {name: size() for name, (size, _) in self._owned.items()}

    def clear(self) -> None:
        """Empty all caches. Nothing that was returned changes."""
        for _, clear in self._owned.values():
            clear()

    def trim(self) -> None:
        """Empty them if they are full; to be called where no recording is under way."""
        if self.limit is not None and sum(size() for size, _ in self._owned.values()) > self.limit:
            self.clear()


SESSION = Session()


def clear_caches() -> None:
    """Forget what analyses before this one left for those after it, as in a fresh process.

    Figures never depend on it. A process that analyzes without end needs no call: the caches are emptied by themselves
    when they hold `cnncost.session.SESSION.limit` entries.
    """
    SESSION.clear()
