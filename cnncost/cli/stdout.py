"""Standard output: reserved for the result while user code runs; handles it being closed, full, or without a reader."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from cnncost.errors import OutputError


class ReaderGone(Exception):  # noqa: N818  # not an error: `cnncost … | head` stops reading early
    """The reader of standard output has closed it."""


class _Closed(io.RawIOBase):
    """A stream on which the first write raises; only the first, as Python flushes again on exit."""

    told = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.told:
            return memoryview(data).nbytes
        self.told = True
        raise OSError(errno.EBADF, "it is closed")


def stand_in() -> None:
    """Replace a closed standard output (`>&-`), which Python sets to None, by a stream that fails on writing.

    Commands that only write to a file don't need it. A closed standard error (`2>&-`) becomes one that keeps nothing:
    otherwise the next file to be opened would be given its number, and what the model prints would have nowhere to go.
    """
    with suppress(OSError):
        _fill(2)
    if sys.stderr is None:
        sys.stderr = io.TextIOWrapper(io.FileIO(os.devnull, "w"), errors="backslashreplace")
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(_Closed()), encoding="utf-8")


def _fill(descriptor: int) -> None:
    """Put the null device in the place of a file descriptor that is closed."""
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, os.O_WRONLY)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)


@contextmanager
def watched() -> Iterator[None]:
    """In this context, translate errors of standard output, recognizable by their missing file name.

    Raises:
        ReaderGone: the reader has closed it.
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
    """Flush buffered output while errors can still be reported. Raises what `watched` does."""
    with watched():
        sys.stdout.flush()


def give_up() -> None:
    """Discard unwritten output, so that Python doesn't flush again on exit."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):  # no underlying file
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def retire() -> None:
    """Send what is printed from here on to standard error: what the model has left to say as the program ends."""
    with suppress(OSError, ValueError):
        if sys.stdout.fileno() == 1:
            os.dup2(2, 1)
    sys.stdout = sys.stderr


class _Aside:
    """Standard output, reserved for the result while user code runs.

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
        """Flush buffered output of Python and C, then restore standard output."""
        if self.descriptor is not None:
            if not self.broken and _is_first(self.stream):  # code may have written to sys.__stdout__
                with suppress(OSError, ValueError):
                    self.stream.flush()
            _flush_c()
            os.dup2(self.descriptor, 1)
        sys.stdout = self.stream

    def close(self) -> None:
        """Close the copy of the descriptor."""
        if self.descriptor is not None:
            os.close(self.descriptor)


def _is_first(stream: Any) -> bool:
    try:
        return bool(stream.fileno() == 1)
    except (OSError, AttributeError, ValueError):
        return False


def _flush_c() -> None:
    """Flush C's stdio buffers: output of printf and puts is buffered unless it goes to a terminal."""
    with suppress(Exception):
        import ctypes

        ctypes.CDLL(None).fflush(None)


_now: list[_Aside] = []
"""The active one, if any."""


@contextmanager
def aside() -> Iterator[None]:
    """In this context, everything printed goes to standard error, also by C code; use `product` for the result.

    The user's model may print when imported, built and run.
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
    """Restore standard output in this context, to print the result."""
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
