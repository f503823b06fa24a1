"""The state of files and folders, to be compared with what it was."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from stat import S_ISDIR, S_ISREG
from typing import TypeAlias

Stamp: TypeAlias = "tuple[int, int, int]"
"""Size, and nanoseconds of the last change of the content and of the inode: `touch` can't set the latter."""
RACY = 2_000_000_000
"""Nanoseconds within which a file system may give two changes one time."""


def stamp(path: str) -> Stamp | None:
    """The stamp of a file; None if there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def digest(data: bytes) -> str:
    """A digest of data, 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def content(path: str) -> str:
    """A digest of a file's content; empty if it can't be read."""
    try:
        if not is_regular(path):
            return ""
        with open(path, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except (OSError, ValueError):
        return ""


def is_regular(path: str) -> bool:
    """Whether a path is a file's, or nothing's: a pipe's content is gone once it is read."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return True
    return S_ISREG(mode) or S_ISDIR(mode)


def kind(path: str) -> str:
    """Of what is at a path: a file with its permissions, size and times, a folder, a link, nothing."""
    return _state(path, times=False)


def state(path: str) -> str:
    """Of all that `os.stat` tells of a path and that lasts: a folder's times, too."""
    return _state(path, times=True)


def _state(path: str, times: bool) -> str:
    try:
        link = os.lstat(path)
        found = os.stat(path)
    except (OSError, ValueError):
        return "link" if os.path.islink(path) else ""
    if S_ISDIR(found.st_mode) and not times:
        return f"{link.st_mode} {found.st_mode}"
    return f"{link.st_mode} {found.st_mode} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def listing(folder: str) -> str:
    """A digest of the names in a folder, and which of them are folders and links; empty if it can't be read."""
    try:
        with os.scandir(folder) as entries:
            names = [f"{entry.name}/{entry.is_dir()}{entry.is_symlink()}" for entry in entries]
    except OSError:
        return ""
    return digest("\0".join(sorted(names)).encode(errors="surrogateescape"))


def importable(folder: str) -> str:
    """A digest of the names in a folder that an import could find, or that say what is installed there."""
    try:
        with os.scandir(folder or ".") as entries:
            names = [entry.name for entry in entries if _is_importable(entry)]
    except OSError:
        return ""
    return digest("\0".join(sorted(names)).encode(errors="surrogateescape"))


_SUFFIXES = (".py", ".pyc", ".so", ".pyd", ".dist-info", ".egg-info", ".egg-link", ".pth")


def _is_importable(entry: os.DirEntry[str]) -> bool:
    if entry.name.endswith(_SUFFIXES):
        return True
    return entry.name.isidentifier() and entry.name != "__pycache__" and entry.is_dir()


def below(path: str, folders: Iterable[str]) -> bool:
    """Whether a path is in one of some folders."""
    return any(path.startswith(folder + os.sep) for folder in folders)
