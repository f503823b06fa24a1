"""Writes the rows of a sweep to disk as they arrive, so that an interrupted sweep can be resumed.

A journal lies next to the output until the output is written. Its first line identifies the sweep; each further line is
a row with the index of its point. Lines are appended, so only the last one can be incomplete, and is then dropped.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any, Self

from cnncost.errors import OutputError, SweepError

_ENDING = ".journal"


def journal_path(output: str | Path) -> Path:
    """Return the journal's path: that of the output with `.journal` appended."""
    return Path(f"{output}{_ENDING}")


class Journal:
    """An open journal, locked (if the system can) so that no second sweep writes to it.

    Args:
        path: path of the file, which is created if it doesn't exist.
        digest: identifies the grid, and the files and versions of packages that rows depend on.

    Attributes:
        found: the rows of an earlier run of the same sweep, by index of their point.

    Raises:
        SweepError: the file is the journal of another sweep or was written before a change of a file or version, it is
            not a journal, or another sweep is writing to it.
        OutputError: the file can't be opened or written.
    """

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        self.found: dict[int, dict[str, Any]] = {}
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise OutputError(
                f"{path}: the sweep's journal can't be opened: {error.strerror}; choose another output"
            ) from None
        try:
            self._lock()
            self._begin({"cnncost": "sweep", "grid": digest})
        except BaseException:
            os.close(self._file)
            raise

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # this system has no such locks
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SweepError(
                f"{self.path}: another sweep is writing to it; wait for that one, or choose another output"
            ) from None

    def _begin(self, head: dict[str, str]) -> None:
        """Write the first line, or compare it with an earlier run's, whose rows are then read."""
        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        first, *lines = whole.splitlines() or [b""]
        if not whole:
            # an incomplete first line is from a sweep that was killed while writing it: start over
            if data and not (json.dumps(head) + "\n").encode().startswith(data):
                raise SweepError(f"{self.path}: not a journal of a sweep; move it, or choose another output")
            os.ftruncate(self._file, 0)
            self._write(head)
            return
        stored = _read(first)
        if stored.get("cnncost") != "sweep":
            raise SweepError(f"{self.path}: not a journal of a sweep; move it, or choose another output")
        if stored != head:
            raise SweepError(
                f"{self.path}: rows of an interrupted sweep of another grid, or from before a model's file, your "
                "devices or a version changed; resume that sweep with its own command, remove the file, or choose "
                "another output"
            )
        for number, line in enumerate(lines, 2):
            row = _read(line)
            if row.pop("sum", None) != _checksum(row) or not isinstance(row.get("row"), dict):
                raise SweepError(
                    f"{self.path}:{number}: expected an intact row of the sweep; remove the file to start over"
                )
            self.found[row["point"]] = row["row"]
        os.ftruncate(self._file, len(whole))

    def add(self, point: int, row: dict[str, Any]) -> None:
        """Append a row. Raises OutputError if it can't be written, for example because the disk is full."""
        data = {"point": point, "row": row}
        self._write(data | {"sum": _checksum(data)})

    def _write(self, data: dict[str, Any]) -> None:
        line = (json.dumps(data) + "\n").encode()
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            raise OutputError(
                f"{self.path}: could not be written: {error.strerror}; once it can, the same command resumes the sweep"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def remove(self) -> None:
        """Remove the file, once its rows are in the output or are not needed."""
        self.path.unlink(missing_ok=True)


def _checksum(data: dict[str, Any]) -> int:
    """Return a row's checksum, because a corrupted digit would still be valid JSON."""
    return zlib.crc32(json.dumps(data).encode())


def _read(line: bytes) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
