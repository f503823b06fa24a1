"""Notes when forward reads the operating system's random numbers, which no seed makes the same again.

Generators that are made without a seed (`random.Random()`, `numpy.random.default_rng()`) begin with such numbers;
`secrets`, `uuid` and `random.SystemRandom` consist of them.
"""

from __future__ import annotations

import os
import random
from threading import get_ident
from typing import Any

from cnncost.frontends.torch.compat.interpreter import URANDOM_PLACES, frame
from cnncost.frontends.torch.patches import Patch

_WHY = "a figure that the system's random numbers decide would have no mark"
_NAMING = frozenset({"tempfile"})
"""Modules that only make names of random numbers."""


class Entropy:
    """Counts reads in the thread that created it while `patches` are applied."""

    def __init__(self) -> None:
        self.reads = 0
        self._thread = get_ident()

    def patches(self) -> list[Patch]:
        """Patches for what reads random numbers of the system, and for generators that are seeded with some."""
        read, seed = os.urandom, random.Random.seed

        def urandom(size: int, /) -> bytes:
            self._note()
            return read(size)

        def seeded(generator: random.Random, a: Any = None, version: int = 2) -> None:
            if a is None:
                self._note()
            seed(generator, a, version)

        return [*(Patch(*place, urandom, _WHY) for place in URANDOM_PLACES), Patch(random.Random, "seed", seeded, _WHY)]

    def _note(self) -> None:
        if get_ident() == self._thread and not any(frame(n).f_globals.get("__name__") in _NAMING for n in (2, 3, 4)):
            self.reads += 1


__all__ = ["Entropy"]
