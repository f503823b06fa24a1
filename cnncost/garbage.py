"""Disables cyclic garbage collection during an analysis, which allocates many small objects."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_disabled() -> Iterator[None]:
    """Disable cyclic garbage collection inside the context.

    A collection would free tensors at moments that depend on the rest of the process, and traverse every
    object created so far, again and again: time would grow faster than the model.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
