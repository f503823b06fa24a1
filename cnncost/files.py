"""Writes files atomically."""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path

from cnncost.errors import OutputError


def descriptor(path: str | Path) -> int | None:
    """Return N for `/dev/fd/N` or `/proc/self/fd/N`, 1 for `/dev/stdout`, 2 for `/dev/stderr`; None for other paths."""
    match = _DESCRIPTOR.fullmatch(os.fspath(path))
    if match is None:
        return None
    return int(match["number"]) if match["number"] else {"stdout": 1, "stderr": 2}[match["name"]]


_DESCRIPTOR = re.compile(r"/dev/(?P<name>stdout|stderr)|/(?:dev|proc/self)/fd/(?P<number>[0-9]{1,9})")


def check(path: str | Path) -> int | None:
    """Check that `write` will be able to write to a path, before long work whose result it will hold.

    Creates and removes a temporary file next to the target, because permission bits don't tell whether the file system
    accepts new files.

    Returns:
        `st_mode` of the existing file, pipe or device at the path; None if there is none.

    Raises:
        OutputError: the folder does not exist or is not writable; the target is a folder or is not writable; or the
            path names a file descriptor that is not open.
    """
    target = Path(path)
    if (number := descriptor(path)) is not None:
        return _mode_of(target, number)
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        mode = None
    except OSError as error:
        raise _failure(target, error) from None
    if mode is None and not target.parent.is_dir():
        raise _failure(target, FileNotFoundError())
    if mode is not None and stat.S_ISDIR(mode):
        raise folder_error(target)
    if mode is not None and not os.access(target, os.W_OK):
        raise OutputError(f"{target}: may not be written; change its permissions or choose another name")
    if mode is None or stat.S_ISREG(mode):
        _check_new_file(target)
    return mode


def _mode_of(target: Path, number: int) -> int:
    try:
        return os.fstat(number).st_mode
    except OSError:
        raise OutputError(f"{target}: is not open; choose another place") from None


def _check_new_file(target: Path) -> None:
    """Create and remove an empty file next to the target."""
    part = _temporary(Path(os.path.realpath(target)))
    try:
        part.touch(exist_ok=False)
        part.unlink()
    except OSError as error:
        raise _failure(target, error) from None


def _temporary(target: Path) -> Path:
    """Return an unused name in the target's folder."""
    return target.with_name(f".cnncost-{os.getpid()}-{secrets.token_hex(4)}.part")


def write(path: str | Path, text: str | bytes) -> None:
    """Write text or bytes to a file atomically: write a temporary file, which then replaces the target.

    A symbolic link is followed; an existing file keeps its permissions. A pipe or device is written to directly, and so
    is a path that names an open file descriptor (`/dev/stdout`): a shell may have sent other output to it.

    Raises:
        OutputError: `check` fails, or writing does.
    """
    write_bytes(path, text.encode() if isinstance(text, str) else text)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Like `write`, for bytes."""
    target, mode = Path(path), check(path)
    try:
        if (number := descriptor(path)) is not None:
            with os.fdopen(os.dup(number), "wb") as file:
                file.write(data)
        elif mode is not None and not stat.S_ISREG(mode):
            target.write_bytes(data)
        else:
            _replace(Path(os.path.realpath(target)), data, stat.S_IMODE(mode) if mode is not None else None)
    except OSError as error:
        raise _failure(target, error) from None


def _replace(target: Path, data: bytes, mode: int | None) -> None:
    """Write a temporary file next to the target and rename it to the target; remove it if that fails."""
    part = _temporary(target)
    try:
        with part.open("xb") as file:
            file.write(data)
        if mode is not None:
            part.chmod(mode)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def folder_error(path: str | Path) -> OutputError:
    """Return the error for a path that is a folder instead of a file."""
    return OutputError(f"{path}: is a folder; name a file in it, for example {Path(path) / 'report.html'}")


def _failure(target: Path, error: OSError) -> OutputError:
    folder = target.parent
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        if folder.is_dir():
            return OutputError(f"{target}: no file can be created in {folder}; choose another place")
        if folder.exists() or isinstance(error, NotADirectoryError):
            return OutputError(f"{target}: {folder} is not a folder; choose another place")
        return OutputError(f"{target}: folder {folder} does not exist; make it first: mkdir -p {folder}")
    if isinstance(error, PermissionError):
        return OutputError(f"{target}: folder {folder} may not be written to; choose another place")
    return OutputError(f"{target}: could not be written: {error.strerror or error}; choose another place")
