"""Detect that forward reads the operating system's random numbers, which no seed reproduces.

Without a seed, generators (`random.Random()`, `numpy.random.default_rng()`) are seeded with such numbers; `secrets`,
`uuid` and `random.SystemRandom` return them.
"""

from __future__ import annotations

import os
import random
from threading import get_ident
from typing import Any

from cnncost.frontends.torch.compat.interpreter import URANDOM_PLACES, frame
from cnncost.frontends.torch.patches import Patch

_WHY = "figures that depend on the system's random numbers have to be marked"
_NAMING = frozenset({"tempfile"})
"""Modules that use random numbers only for names."""


class Entropy:
    """Counts reads of the system's random numbers, in the thread that created it, while its `patches` are applied."""

    def __init__(self) -> None:
        self.reads = 0
        self._thread = get_ident()

    def patches(self) -> list[Patch]:
        """Return patches of the functions that read the system's random numbers, and of the seeding of generators."""
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
        """Count a read, unless a module of `_NAMING` is the caller, directly or through `random`."""
        if get_ident() == self._thread and not any(frame(n).f_globals.get("__name__") in _NAMING for n in (2, 3, 4)):
            self.reads += 1


__all__ = ["Entropy"]
