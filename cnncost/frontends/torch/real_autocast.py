"""The modes of a run on values: autograd's, and autocast, which is torch's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cnncost.frontends.torch.attempt import Attempt
from cnncost.frontends.torch.autocast import CASTS_AT_EACH_USE
from cnncost.frontends.torch.autocast_regions import watched
from cnncost.frontends.torch.guard import quiet_torch
from cnncost.frontends.torch.patches import Patch


def notes(attempt: Attempt) -> tuple[str, ...]:
    """Return a note on what the caller's grad mode would change, if anything."""
    return (f"{CASTS_AT_EACH_USE}, and the peak is higher",) if attempt.casts and not attempt.caches_casts else ()


@contextmanager
def prepared(attempt: Attempt, device: str) -> Iterator[list[Patch]]:
    """A context for a run on a device; yields patches, which the caller has to apply.

    Raises:
        AutocastNeededError: forward enters a region, which the attempt does not expect: composite ops have to be
            recorded as their parts, which torch casts only if they are dispatched one by one.
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
