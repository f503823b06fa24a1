"""The files of the cache: written atomically, and verified when read; the least recently used are removed."""

from __future__ import annotations

import json
import os
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnncost.cache import files

LIMIT = 200_000_000
"""Maximum bytes of all files together; beyond it, the least recently used are removed."""
_PART = 4
"""A file may take at most 1/`_PART` of the limit."""
_HEAD = b"cnncost recording 1\n"
"""First line of each file; the second is a digest of the rest, which is compressed JSON."""
_ENDING = ".recording"


def folder() -> Path:
    """Return the folder of the cache: `CNNCOST_CACHE_DIR`, or one in the system's folder for user caches."""
    if path := os.environ.get("CNNCOST_CACHE_DIR"):
        return Path(path)
    from platformdirs import user_cache_path  # a slow import, which is not needed if the folder is given

    return user_cache_path("cnncost", appauthor=False)


def enabled() -> bool:
    """Return whether the cache may be used. In CI, it is only if `CNNCOST_CACHE_DIR` names a folder to restore."""
    if os.environ.get("CNNCOST_NO_CACHE"):
        return False
    return bool(os.environ.get("CNNCOST_CACHE_DIR")) or not os.environ.get("CI")


def read(name: str) -> dict[str, Any] | None:
    """Return an entry; None if there is none, or if its file is damaged or foreign."""
    path = folder() / f"{name}{_ENDING}"
    try:
        data = path.read_bytes()
        if not data.startswith(_HEAD):
            return None
        check, body = data[len(_HEAD) :].split(b"\n", 1)
        if check.decode() != files.digest(body):
            return None
        found = json.loads(zlib.decompress(body))
    except (OSError, ValueError, zlib.error, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def mark_used(name: str) -> None:
    """Mark an entry as used now."""
    with suppress(OSError):
        os.utime(folder() / f"{name}{_ENDING}")


def write(name: str, entry: dict[str, Any]) -> None:
    """Write an entry, unless it is too large or the folder is not writable."""
    from cnncost.errors import OutputError
    from cnncost.files import write_bytes

    body = zlib.compress(json.dumps(entry, separators=(",", ":")).encode(), 1)
    if len(body) > LIMIT // _PART:
        return
    with suppress(OSError, OutputError):
        folder().mkdir(parents=True, exist_ok=True)
        write_bytes(folder() / f"{name}{_ENDING}", _HEAD + files.digest(body).encode() + b"\n" + body)
        _trim()


def _entries() -> list[tuple[float, int, Path]]:
    """Return (time of last use, bytes, path) of each file, the least recently used first."""
    found = []
    with suppress(OSError):
        for path in folder().glob(f"*{_ENDING}"):
            with suppress(OSError):  # another process may have removed it
                about = path.stat()
                found.append((about.st_mtime, about.st_size, path))
    return sorted(found)


def _trim() -> None:
    _remove_parts(older_than=3600)
    entries = _entries()
    total = sum(size for _, size, _ in entries)
    for _, size, path in entries:
        if total <= LIMIT:
            return
        path.unlink(missing_ok=True)
        total -= size


@dataclass(frozen=True, slots=True)
class Info:
    """The folder of the cache, and a number of recordings and their bytes."""

    folder: Path
    entries: int
    nbytes: int


def info() -> Info:
    """Return what the cache contains."""
    entries = _entries()
    return Info(folder(), len(entries), sum(size for _, size, _ in entries))


def clear() -> Info:
    """Remove all recordings, and files left by processes that were killed. Return what was removed.

    Raises:
        OutputError: a recording can't be removed.
    """
    from cnncost.errors import OutputError

    entries, nbytes = 0, 0
    for _, size, path in _entries():
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{path}: could not be removed: {error.strerror}") from None
        entries, nbytes = entries + 1, nbytes + size
    _remove_parts(older_than=0)
    return Info(folder(), entries, nbytes)


def _remove_parts(older_than: float) -> None:
    """Remove incomplete files that have not been written to for this many seconds."""
    with suppress(OSError):
        for path in folder().glob(".cnncost-*.part"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime >= older_than:
                    path.unlink(missing_ok=True)
