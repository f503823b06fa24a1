"""Standard output that is closed, full, or has lost its reader."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from cnncost.errors import OutputError


class ReaderGone(Exception):  # noqa: N818  # no error: `cnncost … | head` has had enough
    """Whoever read standard output has closed it."""


class _Closed(io.RawIOBase):
    """Where nothing can be written. It is told once: Python tries again when it ends."""

    told = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.told:
            return memoryview(data).nbytes
        self.told = True
        raise OSError(errno.EBADF, "it is closed")


def stand_in() -> None:
    """In place of a closed standard output (`>&-`), which Python sets to None, one that fails when it is written to.

    A command that writes to a file alone does without it.
    """
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(_Closed()), encoding="utf-8")


@contextmanager
def watched() -> Iterator[None]:
    """While it lasts, an error of standard output, the one stream without a name, is told as what it is.

    Raises:
        ReaderGone: nobody reads any more.
        OutputError: it is full, closed, or can't be written to for another reason.
    """
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGone from error
    except OSError as error:
        if error.filename is not None:
            raise
        reason = error.strerror or error
        raise OutputError(
            f"standard output can't be written to: {reason}; write to another place, as with -o FILE"
        ) from error


def flush() -> None:
    """Write what is still kept back, now that an error can be told. Raises what `watched` does."""
    with watched():
        sys.stdout.flush()


def give_up() -> None:
    """Let go what could not be written, so that Python does not try again when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):  # no file below it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
