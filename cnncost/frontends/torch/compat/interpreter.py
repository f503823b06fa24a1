"""What Python itself doesn't guarantee."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

frame: Callable[[int], FrameType] = sys._getframe
"""A caller's frame: CPython has them, other interpreters may not. Called without a wrapper, as frames are counted."""

ENVIRON: Any = os.environ  # bound here, because a program may replace `os.environ` by a dict
"""The environment."""


def environment() -> dict[Any, Any]:
    """A copy of the environment variables, encoded: `dict(os.environ)` would decode each, many times as slow."""
    return dict(ENVIRON._data)
