"""Standard output: reserves it for the result while user code runs, and handles it being closed, full or unread."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from cnncost.errors import CnncostError, OutputError


class ReaderGone(Exception):  # noqa: N818  # not an error: `cnncost … | head` stops reading early
    """The reader of standard output has closed the pipe."""


class _Closed(io.RawIOBase):
    """A stream whose first write raises; later ones do nothing, because Python flushes again on exit."""

    raised = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.raised:
            return memoryview(data).nbytes
        self.raised = True
        raise OSError(errno.EBADF, "it is closed")


def replace_closed() -> None:
    """Replace a closed standard output (`>&-`), which Python sets to None, by a stream that raises on the first write.

    So a command that only writes to a file still works. A closed standard error (`2>&-`) is replaced by the null
    device: otherwise the next file to be opened would get descriptor 2, and receive what the model prints.
    """
    with suppress(OSError):
        _open_null(2)
    if sys.stderr is None:
        sys.stderr = io.TextIOWrapper(io.FileIO(os.devnull, "w"), errors="backslashreplace")
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(_Closed()), encoding="utf-8")


def _open_null(descriptor: int) -> None:
    """Open the null device as this file descriptor, if it is closed."""
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, os.O_WRONLY)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)


@contextmanager
def errors_translated() -> Iterator[None]:
    """Translate errors on writing to standard output, which are OSErrors without a file name.

    Raises:
        ReaderGone: the reader has closed the pipe.
        OutputError: standard output is full or closed, or can't be written to for another reason.
        CnncostError: too many files are open, whatever was to be opened.
    """
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGone from error
    except OSError as error:
        if error.errno in {errno.EMFILE, errno.ENFILE}:
            raise CnncostError(f"{error.strerror}: raise the limit, for example with ulimit -n 1024") from error
        if error.filename is not None:
            raise
        reason = error.strerror or error
        raise OutputError(f"standard output can't be written to: {reason}; write to a file with -o FILE") from error


def flush() -> None:
    """Flush buffered output while errors can still be reported. Raises as `errors_translated` does."""
    with errors_translated():
        sys.stdout.flush()


def discard() -> None:
    """Discard output that can't be written: Python would flush it again on exit, and exit with code 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError):  # no underlying file
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
                stream.flush()  # empties the buffer, which would otherwise go wherever the descriptor leads next


def redirect_for_good() -> None:
    """Send all further output to standard error, because the model may still print while the process exits."""
    with suppress(OSError, ValueError):
        if sys.stdout.fileno() == 1:
            os.dup2(2, 1)
    sys.stdout = sys.stderr


class _Redirection:
    """Redirects standard output to standard error while user code runs, so that standard output has only the result.

    Attributes:
        stream: the original `sys.stdout`, to which the result goes.
        descriptor: a copy of file descriptor 1; None if descriptor 1 or 2 is closed.
        broken: whether writing the result failed; part of it may then still be in the stream.
    """

    def __init__(self) -> None:
        self.stream, self.broken = sys.stdout, False
        self.descriptor: int | None = None
        # if standard output was closed, descriptor 1 may belong to another file by now
        if not isinstance(getattr(getattr(self.stream, "buffer", None), "raw", None), _Closed):
            with suppress(OSError):  # one of the two is closed: then only `sys.stdout` is redirected
                os.fstat(2)
                self.descriptor = os.dup(1)

    def begin(self) -> None:
        """Redirect standard output to standard error."""
        sys.stdout = sys.stderr or io.TextIOWrapper(io.FileIO(os.devnull, "w"))
        if self.descriptor is not None:
            os.dup2(2, 1)

    def end(self) -> None:
        """Flush buffered output of Python and C code, then restore standard output."""
        if self.descriptor is not None:
            if not self.broken and _is_descriptor_1(self.stream):  # user code may have written to sys.__stdout__
                with suppress(OSError, ValueError):
                    self.stream.flush()
            _flush_c()
            os.dup2(self.descriptor, 1)
        sys.stdout = self.stream

    def close(self) -> None:
        """Close the copy of the descriptor."""
        if self.descriptor is not None:
            os.close(self.descriptor)


def _is_descriptor_1(stream: Any) -> bool:
    try:
        return bool(stream.fileno() == 1)
    except (OSError, AttributeError, ValueError):
        return False


def _flush_c() -> None:
    """Flush C's stdio buffers: the output of printf and puts is buffered unless it goes to a terminal."""
    with suppress(Exception):
        import ctypes

        ctypes.CDLL(None).fflush(None)


_active: list[_Redirection] = []
"""Redirections, the innermost last."""


@contextmanager
def redirected() -> Iterator[None]:
    """In this context, all output, including that of C code, goes to standard error; print the result in `restored`.

    The user's model may print while it is imported, built and run.
    """
    redirection = _Redirection()
    _active.append(redirection)
    redirection.begin()
    try:
        yield
    finally:
        _active.remove(redirection)
        redirection.end()
        redirection.close()


@contextmanager
def restored() -> Iterator[None]:
    """Restore standard output in this context, to print the result."""
    if not _active:
        yield
        return
    redirection = _active[-1]
    redirection.end()
    try:
        yield
        sys.stdout.flush()
    except OSError:
        redirection.broken = True
        raise
    finally:
        redirection.begin()
