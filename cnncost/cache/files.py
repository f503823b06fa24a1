"""Fingerprints of files and folders, which show whether they have changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from stat import S_ISDIR, S_ISREG
from typing import TypeAlias

Stamp: TypeAlias = "tuple[int, int, int]"
"""(Size in bytes, mtime in nanoseconds, ctime in nanoseconds). `touch` can set the mtime, but not the ctime."""
_STAT = os.stat
"""Python's own function: during an observation, `os.stat` records look-ups, but those of `stamp` don't count."""
SAME_TIME_NS = 2_000_000_000
"""Two changes of a file within this time may leave the same timestamp: some file systems' clocks are that coarse."""


def stamp(path: str) -> Stamp | None:
    """Return the stamp of a file or folder; None if there is none at the path."""
    try:
        found = _STAT(path)
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def digest(data: bytes) -> str:
    """Return a digest of the data as 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def content(path: str) -> str:
    """Return a digest of a file's content; empty if it can't be read, or can't be read again."""
    try:
        if not can_be_read_again(path):
            return ""
        with open(path, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except (OSError, ValueError):
        return ""


def can_be_read_again(path: str) -> bool:
    """Return False for pipes, sockets and devices, whose content is gone once read; True if the path doesn't exist."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return True
    return S_ISREG(mode) or S_ISDIR(mode)


def state_without_folder_times(path: str) -> str:
    """Return a string that changes if the file or folder at a path does; empty if the path doesn't exist.

    It contains the type (file, folder, link) and permissions and, for a file, its size and times. The size and times of
    a folder, which change with its entries, are left out, and so are those of a link itself.
    """
    return _state(path, all_times=False)


def state(path: str) -> str:
    """Like `state_without_folder_times`, but including the size and times of folders and links."""
    return _state(path, all_times=True)


def _state(path: str, all_times: bool) -> str:
    try:
        link = os.lstat(path)  # the path itself, link or not
    except (OSError, ValueError):
        return ""
    own = f"{link.st_mode} {link.st_size} {link.st_mtime_ns} {link.st_ctime_ns}" if all_times else f"{link.st_mode}"
    try:
        found = os.stat(path)
    except OSError:  # a link whose target is missing
        return own
    if S_ISDIR(found.st_mode) and not all_times:
        return f"{own} {found.st_mode}"
    return f"{own} {found.st_mode} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def listing(folder: str) -> str:
    """Return a digest of the names in a folder and of which are folders or links; empty if it can't be read."""
    try:
        with os.scandir(folder) as entries:
            names = [f"{entry.name}/{entry.is_dir()}{entry.is_symlink()}" for entry in entries]
    except OSError:
        return ""
    return digest("\0".join(sorted(names)).encode(errors="surrogateescape"))


def importable(folder: str) -> str:
    """Return a digest of the names in a folder that can be imported, or that record what is installed there.

    Empty if the folder can't be read.
    """
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
    """Return whether a path is inside one of the folders."""
    return any(path.startswith(folder + os.sep) for folder in folders)
