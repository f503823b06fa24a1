"""Disables cyclic garbage collection during an analysis, which allocates many small objects."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """Disable cyclic garbage collection inside the context.

    It would free tensors at moments that depend on all else in the process, and walk over every
    object that was made so far, again and again: time would grow faster than the model.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
