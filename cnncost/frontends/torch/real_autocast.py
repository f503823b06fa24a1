"""Sets up autograd and autocast for a run on real data, in which torch's own autocast is active."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cnncost.frontends.torch.attempt import Attempt
from cnncost.frontends.torch.autocast import CASTS_AT_EACH_USE, depth
from cnncost.frontends.torch.autocast_regions import watched
from cnncost.frontends.torch.guard import quiet_torch
from cnncost.frontends.torch.patches import Patch


def notes(attempt: Attempt) -> tuple[str, ...]:
    """Return a note if weights are cast at each use, which they would not be under `torch.no_grad`."""
    return (f"{CASTS_AT_EACH_USE}, and the peak is higher",) if attempt.casts and not attempt.caches_casts else ()


@contextmanager
def prepared(attempt: Attempt, device: str) -> Iterator[list[Patch]]:
    """Context for a run on a device; yields patches that the caller has to apply.

    Raises:
        AutocastNeededError: forward enters an autocast region that the attempt does not expect. Composite ops must then
            be recorded as their parts, because torch casts the parts only if they are dispatched one by one.
    """
    before = torch.is_autocast_cache_enabled()
    with quiet_torch(attempt.grad and not attempt.turned_off, undecomposed=not (attempt.grad or attempt.casts)):
        if not attempt.casts:
            with watched(device, None) as patches:
                yield patches
            return
        torch.set_autocast_cache_enabled(before and attempt.caches_casts)
        try:
            yield []
        finally:
            torch.set_autocast_cache_enabled(before)
            if not depth():  # without a region, nothing else drops the casts of weights
                torch.clear_autocast_cache()
