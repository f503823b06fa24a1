"""Fingerprints of files and folders, which show whether something has changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from stat import S_ISDIR, S_ISREG
from typing import TypeAlias

Stamp: TypeAlias = "tuple[int, int, int]"
"""Size in bytes, mtime and ctime in nanoseconds. `touch` can set the mtime, but not the ctime."""
_STAT = os.stat
"""Python's own function: while `watch` observes, which also calls `stamp`, `os.stat` is one that records look-ups."""
SAME_TIME_NS = 2_000_000_000
"""A file that is changed twice within this time may keep one timestamp: some file systems' clocks are that coarse."""


def stamp(path: str) -> Stamp | None:
    """Return the stamp of a file; None if there is no such file."""
    try:
        found = _STAT(path)
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def digest(data: bytes) -> str:
    """Return a digest of the data, 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def content(path: str) -> str:
    """Return a digest of a file's content; empty if it can't be read."""
    try:
        if not can_be_read_again(path):
            return ""
        with open(path, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except (OSError, ValueError):
        return ""


def can_be_read_again(path: str) -> bool:
    """Return False for pipes, sockets and devices, whose content is gone once read; True if nothing is at the path."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return True
    return S_ISREG(mode) or S_ISDIR(mode)


def state_without_folder_times(path: str) -> str:
    """Return a string that changes if the file or folder at a path does; empty if nothing is there.

    It has the type (file, folder, link) and permissions, and the size and times of a file. A folder's
    times, which change with its entries, are left out, and so are a link's own.
    """
    return _state(path, all_times=False)


def state(path: str) -> str:
    """Return the same as `state_without_folder_times`, but with the size and times of folders and links, too."""
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
    """Return a digest of a folder's names, and of whether each is a folder or a link; empty if it can't be read."""
    try:
        with os.scandir(folder) as entries:
            names = [f"{entry.name}/{entry.is_dir()}{entry.is_symlink()}" for entry in entries]
    except OSError:
        return ""
    return digest("\0".join(sorted(names)).encode(errors="surrogateescape"))


def importable(folder: str) -> str:
    """Return a digest of the names in a folder that can be imported or that record what is installed there."""
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
