"""The rows of a sweep as they come, on disk: what an interrupted sweep has done is not done again.

A journal lies beside the output until that is written. Its first line names the grid; each further line is a row with
the index of its point, appended by one write, so that only the last line can be half-written, and that one is dropped.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any, Self

from cnncost.errors import OutputError, SweepError

_ENDING = ".journal"


def beside(output: str | Path) -> Path:
    """The journal's path: that of the output with `.journal` after it."""
    return Path(f"{output}{_ENDING}")


class Journal:
    """A journal that is open for one sweep, and locked against a second one.

    Args:
        path: of the file; made if there is none.
        digest: names the grid and the versions that its rows are of.

    Attributes:
        found: the rows of an earlier run of the same sweep, by the index of their point.

    Raises:
        SweepError: it is of another grid or version, is no journal, or another sweep is writing to it.
        OutputError: it can't be read or written.
    """

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        self.found: dict[int, dict[str, Any]] = {}
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise OutputError(
                f"{path}: the sweep's journal can't be opened: {error.strerror}; choose another place"
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
        except ImportError:  # no such locks on this system
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SweepError(
                f"{self.path}: another sweep is writing to it; wait for that one, or choose another output"
            ) from None

    def _begin(self, head: dict[str, str]) -> None:
        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        first, *lines = whole.splitlines() or [b""]
        if not whole:
            if data and not (json.dumps(head) + "\n").encode().startswith(data):
                raise SweepError(f"{self.path}: no journal of a sweep; move it, or choose another output")
            os.ftruncate(self._file, 0)
            self._write(head)
            return
        kept = _read(first)
        if kept.get("cnncost") != "sweep":
            raise SweepError(f"{self.path}: no journal of a sweep; move it, or choose another output")
        if kept != head:
            raise SweepError(
                f"{self.path}: rows of an interrupted sweep of another grid, or from before a change of a model's "
                "file, of your devices or of a version; resume that one by its own command, remove the file, or choose "
                "another output"
            )
        for number, line in enumerate(lines, 2):
            row = _read(line)
            if row.pop("sum", None) != _sum(row) or not isinstance(row.get("row"), dict):
                raise SweepError(
                    f"{self.path}:{number}: expected a row of the sweep as it was written; remove the file to begin "
                    "anew"
                )
            self.found[row["point"]] = row["row"]
        os.ftruncate(self._file, len(whole))

    def add(self, point: int, row: dict[str, Any]) -> None:
        """Append a row. Raises OutputError if the disk is full."""
        data = {"point": point, "row": row}
        self._write(data | {"sum": _sum(data)})

    def _write(self, data: dict[str, Any]) -> None:
        line = (json.dumps(data) + "\n").encode()
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            raise OutputError(
                f"{self.path}: could not be written: {error.strerror}; with room, the same command resumes"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def remove(self) -> None:
        """Remove the file: its rows are in the output."""
        self.path.unlink(missing_ok=True)


def _sum(data: dict[str, Any]) -> int:
    """A checksum: a digit that a disk has changed is still JSON."""
    return zlib.crc32(json.dumps(data).encode())


def _read(line: bytes) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
