"""Observes which environment variables are read, and by whom."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

_VIEWS = ("os.py", "_collections_abc.py", "<frozen os>", "<frozen _collections_abc>")


class Observed:
    """Observes `os.environ` between `enter` and `leave`, while it is on.

    Attributes:
        read: names of variables that were read, set or not.
        walks: beginnings of the names that a library looked for when it walked over all variables: its own name's, as
            in TQDM_.
        on: whether it observes now.
        against: why the variables can't be known: the model's own code walked over all of them.
    """

    def __init__(self, is_library: Callable[[str], bool]) -> None:
        self.read: set[str] = set()
        self.walks: set[str] = set()
        self.against = ""
        self.on = False
        self._is_library = is_library
        self._own = type(os.environ)

    def enter(self) -> None:
        """Take the place of the variables' own type."""
        own, watch = self._own, self

        class Variables(own):  # type: ignore[valid-type, misc]  # the type of os.environ has no public name
            def __getitem__(self, key: Any) -> Any:
                if watch.on and isinstance(key, str) and not _is_walk(sys._getframe(1)):
                    watch.read.add(key)
                return own.__getitem__(self, key)

            def __iter__(self) -> Iterator[Any]:
                if watch.on:
                    watch.walk(_reader(sys._getframe(1)))
                return own.__iter__(self)

            def __len__(self) -> int:
                if watch.on:
                    watch.walk(_reader(sys._getframe(1)))
                return int(own.__len__(self))

        os.environ.__class__ = Variables

    def leave(self) -> None:
        """Give them their own type back."""
        os.environ.__class__ = self._own

    def walk(self, file: str) -> None:
        """Note that code in a file asked for all variables."""
        if not self._is_library(file):
            self.against = f"{os.path.basename(file)} reads all environment variables"
            return
        parts = file.split(os.sep)
        places = [i for i, part in enumerate(parts) if part in {"site-packages", "dist-packages"}]
        self.walks.add((parts[places[-1] + 1] if places else "PYTHON").removesuffix(".py").upper())


def _is_walk(frame: FrameType) -> bool:
    """Whether a variable is read by a view over all of them."""
    return frame.f_code.co_filename.endswith(_VIEWS) and frame.f_code.co_name == "__iter__"


def _reader(frame: FrameType | None) -> str:
    """The file of the code that reads, behind the views."""
    while frame is not None and frame.f_code.co_filename.endswith(_VIEWS):
        frame = frame.f_back
    return frame.f_code.co_filename if frame is not None else ""
