"""Standard output: kept for the product while the user's code runs; closed, full, or without a reader."""

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


class _Aside:
    """Standard output, kept for the product while the user's code runs.

    Attributes:
        stream: the product's, `sys.stdout` as it was.
        descriptor: a copy of file descriptor 1; None if that is not there to be kept.
        broken: writing the product failed, and some of it may still be in the stream.
    """

    def __init__(self) -> None:
        self.stream, self.broken = sys.stdout, False
        self.descriptor: int | None = None
        if not isinstance(getattr(getattr(self.stream, "buffer", None), "raw", None), _Closed):
            with suppress(OSError):
                os.fstat(2)
                self.descriptor = os.dup(1)

    def begin(self) -> None:
        """What is printed from here on goes to standard error."""
        sys.stdout = sys.stderr or io.TextIOWrapper(io.FileIO(os.devnull, "w"))
        if self.descriptor is not None:
            os.dup2(2, 1)

    def end(self) -> None:
        """Standard output is what it was; first goes out what is still kept back, in Python and in C."""
        if self.descriptor is not None:
            if not self.broken and _is_first(self.stream):  # someone wrote to sys.__stdout__
                with suppress(OSError, ValueError):
                    self.stream.flush()
            _flush_c()
            os.dup2(self.descriptor, 1)
        sys.stdout = self.stream

    def close(self) -> None:
        """Let the copy go."""
        if self.descriptor is not None:
            os.close(self.descriptor)


def _is_first(stream: Any) -> bool:
    try:
        return bool(stream.fileno() == 1)
    except (OSError, AttributeError, ValueError):
        return False


def _flush_c() -> None:
    """What C code has printed, by printf as by puts, is kept back by its library if nobody watches."""
    with suppress(Exception):
        import ctypes

        ctypes.CDLL(None).fflush(None)


_now: list[_Aside] = []
"""The one that is in force."""


@contextmanager
def aside() -> Iterator[None]:
    """While it lasts, all that is printed goes to standard error, by C code as well: the product alone goes out.

    The user's model may print when it is imported, built and run.
    """
    kept = _Aside()
    _now.append(kept)
    kept.begin()
    try:
        yield
    finally:
        _now.remove(kept)
        kept.end()
        kept.close()


@contextmanager
def product() -> Iterator[None]:
    """While it lasts, standard output is there: for what is the product."""
    if not _now:
        yield
        return
    kept = _now[-1]
    kept.end()
    try:
        yield
        sys.stdout.flush()
    except OSError:
        kept.broken = True
        raise
    finally:
        kept.begin()
