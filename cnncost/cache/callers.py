"""Tells from the stack whose code reads a file or folder: the user's, a library's, Python's or cnncost's own."""

from __future__ import annotations

import os
from functools import cache
from itertools import product
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from cnncost.cache import files, libraries

_THIS_PACKAGE = str(Path(__file__).parents[1])
_TIMES_UNUSED = frozenset(
    "_joinrealpath checkcache exists getsourcefile is_dir is_file is_symlink isdir isfile islink lexists mtime "
    "realpath resolve rmtree updatecache".split()
)
"""Functions of Python's modules whose results don't depend on the size and times that `os.stat` returns to them.

Most return whether a path exists, its type or its target. `mtime` (`importlib.metadata`) validates a cache of the
folders in `sys.path`; `checkcache` and `updatecache` (`linecache`) validate cached source lines; `rmtree` compares
inodes.
"""


@cache
def is_users(file: str) -> bool:
    """Return whether a file's code is the user's: not a library's, Python's or this package's. True for "", unknown."""
    return not libraries.is_library(file) and not _is_own(file)


def calling_file(frame: FrameType | None) -> str:
    """Return the file of the innermost frame outside Python's own modules; empty if there is none."""
    while frame is not None:
        file = frame.f_code.co_filename
        if not libraries.is_standard(file):
            return file
        frame = frame.f_back
    return ""


class Caller(NamedTuple):
    """The caller of a function that looks up a path.

    Attributes:
        by_user: whether it is the user's code, directly or through Python's own modules.
        may_use_times: whether it may use the size or times in a result of `os.stat`. The user's code and libraries may,
            unless they call through one of `_TIMES_UNUSED`; this package doesn't.
    """

    by_user: bool
    may_use_times: bool


def caller_of_look_up(frame: FrameType | None) -> Caller:
    """Return the caller, given the calling frame. The stack is walked only once: imports look up thousands of paths."""
    uses_times = True
    while frame is not None:
        code = frame.f_code
        if not libraries.is_standard(code.co_filename):
            return _CALLERS[is_users(code.co_filename), uses_times and not _is_own(code.co_filename)]
        if code.co_name in _TIMES_UNUSED:
            uses_times = False
        frame = frame.f_back
    return _CALLERS[True, uses_times]  # only Python's own code, as in its threads: it may be running user code


_CALLERS = {each: Caller(*each) for each in product((True, False), repeat=2)}  # created once: look-ups are frequent


def may_use_names(frame: FrameType | None) -> bool:
    """Return whether the caller of `os.listdir` or `os.scandir` may use the names of files that aren't modules.

    If so, the whole listing is a dependency. Any caller may, except this package and the import system, which looks
    only for modules; their names are a dependency anyway (`files.importable`).
    """
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith("<frozen importlib") or f"importlib{os.sep}metadata" in file:
            return False
        if not libraries.is_standard(file):
            return not _is_own(file)
        frame = frame.f_back
    return True  # as in `caller_of_look_up`


def is_import(frame: FrameType | None) -> bool:
    """Return whether the frame belongs to the import system."""
    return frame is not None and frame.f_code.co_filename.startswith("<frozen importlib")


@cache
def _is_own(file: str) -> bool:
    return files.below(file, (_THIS_PACKAGE,))
