"""Disables cyclic garbage collection during an analysis."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_disabled() -> Iterator[None]:
    """Context in which cyclic garbage collection is disabled.

    A collection would free tensors at times that depend on the rest of the process. An analysis allocates many small
    objects, and repeated collections would traverse all of them, so that its time would grow faster than the model.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
