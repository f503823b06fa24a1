"""The state of files and folders, to be compared with what it was."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
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
        with open(path, "rb") as file:
            return digest(file.read())
    except (OSError, ValueError):
        return ""


def kind(path: str) -> str:
    """Of what is at a path: a file with its size and time, a folder, nothing."""
    found = stamp(path)
    if found is None:
        return ""
    return "folder" if os.path.isdir(path) else f"{found[0]} {found[1]}"


def listing(folder: str) -> str:
    """A digest of the names in a folder; empty if it can't be read."""
    try:
        return digest("\0".join(sorted(os.listdir(folder))).encode(errors="surrogateescape"))
    except OSError:
        return ""


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
