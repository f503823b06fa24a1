"""CPython features that the language doesn't guarantee."""

from __future__ import annotations

import builtins
import io
import os
import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

frame: Callable[[int], FrameType] = sys._getframe
"""Returns the frame of the n-th caller. Not wrapped, because a wrapper would add a frame of its own."""

URANDOM_PLACES = ((os, "urandom"), (random, "_urandom"))
"""The function that returns the system's random bytes, and its name in `random`, which `secrets` uses as well."""

ENVIRON: Any = os.environ  # bound here, because a program may replace `os.environ` by a dict
"""The environment variables of the process."""


def environment() -> dict[Any, Any]:
    """A copy of the environment variables, encoded: `dict(os.environ)` decodes each and is many times slower."""
    return dict(ENVIRON._data)


def open_places() -> list[tuple[Any, str]]:
    """The function that opens files, and the names under which modules have bound it."""
    bound = [(sys.modules.get(module), name) for module, name in (("bz2", "_builtin_open"), ("tarfile", "bltn_open"))]
    return [(builtins, "open"), (io, "open"), *[place for place in bound if hasattr(*place)]]
