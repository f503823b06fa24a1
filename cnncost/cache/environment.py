"""Observes which environment variables are read, and by whom."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from cnncost.cache import callers

_MAPPING_FILES = ("os.py", "_collections_abc.py", "<frozen os>", "<frozen _collections_abc>")
"""Files that define the iteration methods of `os.environ` and of mappings."""
_WALKERS = {"tqdm": "TQDM_"}
"""Libraries that iterate over all variables in search of a prefix, and that prefix."""


class EnvironmentWatch:
    """Observes `os.environ` and `os.environb` between `enter` and `leave`, while it is on.

    Attributes:
        read: names of variables that were read, whether set or not.
        before: all variables at the start of the observation, because a model may set some and read them afterwards.
        walks: prefixes that a library looked for when it iterated over all variables (`TQDM_`); `""` stands for any.
        on: whether reads are recorded at the moment.
        obstacle: why the analysis can't be cached: the user's code iterated over all variables; else empty.
    """

    def __init__(self) -> None:
        self.before: dict[str, str] = {}
        self.read: set[str] = set()
        self.walks: set[str] = set()
        self.obstacle = ""
        self.on = False
        self._original = type(os.environ)

    def enter(self) -> None:
        """Replace the class of `os.environ` and `os.environb`, so that all references to them are observed."""
        original, watch = self._original, self
        self.before = dict(os.environ)

        class Variables(original):  # type: ignore[valid-type, misc]  # the type of os.environ has no public name
            def __getitem__(self, key: Any) -> Any:
                if watch.on and isinstance(key, (str, bytes)) and not _is_walk(sys._getframe(1)):
                    watch.read.add(os.fsdecode(key))
                return original.__getitem__(self, key)

            def __iter__(self) -> Iterator[Any]:
                if watch.on:
                    watch.walk(callers.calling_file(sys._getframe(1)))
                return original.__iter__(self)

            def __len__(self) -> int:
                if watch.on:
                    watch.walk(callers.calling_file(sys._getframe(1)))
                return int(original.__len__(self))

        for mapping in _mappings():
            mapping.__class__ = Variables

    def leave(self) -> None:
        """Restore the class of `os.environ` and `os.environb`."""
        for mapping in _mappings():
            mapping.__class__ = self._original

    def walk(self, file: str) -> None:
        """Record that the code in a file iterated over all variables."""
        if callers.is_users(file):
            self.obstacle = f"{os.path.basename(file)} reads all environment variables"
            return
        prefixes = (prefix for library, prefix in _WALKERS.items() if f"{os.sep}{library}{os.sep}" in file)
        self.walks.add(next(prefixes, ""))


def _mappings() -> list[Any]:
    """Return the mappings of environment variables: one of strings and, on POSIX, one of bytes."""
    return [os.environ, *([os.environb] if os.supports_bytes_environ else [])]


class Arguments(list[str]):
    """A `sys.argv` that calls `on_read` with the file of the code that reads it: a model may parse the command line."""

    def __init__(self, original: list[str], on_read: Callable[[str], None]) -> None:
        super().__init__(original)
        self.original = original
        self._on_read = on_read

    def __getitem__(self, key: Any) -> Any:
        self._on_read(callers.calling_file(sys._getframe(1)))
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[str]:
        self._on_read(callers.calling_file(sys._getframe(1)))
        return super().__iter__()

    def __len__(self) -> int:
        self._on_read(callers.calling_file(sys._getframe(1)))
        return super().__len__()

    def __contains__(self, key: object) -> bool:
        self._on_read(callers.calling_file(sys._getframe(1)))
        return super().__contains__(key)


def _is_walk(frame: FrameType) -> bool:
    """Return whether the frame that reads a variable belongs to an iteration over all of them, which `walk` records."""
    return frame.f_code.co_filename.endswith(_MAPPING_FILES) and frame.f_code.co_name == "__iter__"
