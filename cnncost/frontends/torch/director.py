"""What a recorder has to be told of ops that run outside of forward."""

from __future__ import annotations

from typing import Any, Protocol

from cnncost.frontends.torch.running import Found


class Director(Protocol):
    """Knows of ops that run where no module is being called."""

    def call(self, found: Found) -> int:
        """The call that the next op is due to."""

    def in_place(self, func: Any, args: tuple[Any, ...], found: Found) -> Any:
        """The op in place that torch would run if nobody watched, or None."""
