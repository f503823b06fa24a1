"""Observes which environment variables are read, and by whom."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from cnncost.cache.libraries import behind

_VIEWS = ("os.py", "_collections_abc.py", "<frozen os>", "<frozen _collections_abc>")
_WALKERS = {"tqdm": "TQDM_"}
"""Libraries that walk over all variables for those that begin with a name, and this beginning."""


class Observed:
    """Observes `os.environ` between `enter` and `leave`, while it is on.

    Attributes:
        read: names of variables that were read, set or not.
        before: all variables as they were when the observation began: a model may set some, and read them afterwards.
        walks: beginnings of the names that a library looked for when it walked over all variables: TQDM_; empty for
            all of them.
        on: whether it observes now.
        against: why the variables can't be known: the model's own code walked over all of them.
    """

    def __init__(self, is_library: Callable[[str], bool]) -> None:
        self.before: dict[str, str] = {}
        self.read: set[str] = set()
        self.walks: set[str] = set()
        self.against = ""
        self.on = False
        self._is_library = is_library
        self._own = type(os.environ)

    def enter(self) -> None:
        """Take the place of the variables' own type."""
        own, watch = self._own, self
        self.before = dict(os.environ)

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
        self.walks.add(next((begin for part, begin in _WALKERS.items() if f"{os.sep}{part}{os.sep}" in file), ""))


class Arguments(list[str]):
    """`sys.argv` that tells who reads it: a model's parser may know an option by the name of one here."""

    def __init__(self, own: list[str], read: Callable[[str], None]) -> None:
        super().__init__(own)
        self.own = own
        self._read = read

    def __getitem__(self, key: Any) -> Any:
        self._read(behind(sys._getframe(1)))
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[str]:
        self._read(behind(sys._getframe(1)))
        return super().__iter__()

    def __len__(self) -> int:
        self._read(behind(sys._getframe(1)))
        return super().__len__()

    def __contains__(self, key: object) -> bool:
        self._read(behind(sys._getframe(1)))
        return super().__contains__(key)


def _is_walk(frame: FrameType) -> bool:
    """Whether a variable is read by a view over all of them."""
    return frame.f_code.co_filename.endswith(_VIEWS) and frame.f_code.co_name == "__iter__"


def _reader(frame: FrameType | None) -> str:
    """The file of the code that reads, behind the views and modules of Python's own."""
    return behind(frame)
