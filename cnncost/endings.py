"""Cleans up when a process ends in the middle of its work: because of a signal, or because its parent has ended."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that by default end a process without cleanup.

`kill`, `timeout`, batch systems and a closed terminal send them.
"""
_TICK = 1.0
"""Seconds between two checks whether the parent is still running."""


class _Ended(BaseException):
    """Unwinds the stack after one of `_SIGNALS`. It is not an Exception, so `except Exception` doesn't catch it."""


@contextmanager
def unwinding() -> Iterator[None]:
    """In this context, a signal that would end the process at once first unwinds the stack.

    That removes temporary folders and ends child processes. Signals for which the program has installed a handler are
    left alone. Outside the main thread all signals are, because only the main thread may set handlers.
    """
    received: list[int] = []

    def unwind(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:  # a second signal must not interrupt the unwinding
            raise _Ended

    main = threading.current_thread() is threading.main_thread()
    ours = [number for number in _SIGNALS if main and signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, unwind)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
        if received:
            os.kill(os.getpid(), received[0])


@contextmanager
def uninterrupted_children() -> Iterator[None]:
    """Start new processes with SIGINT (Ctrl-C) and SIGHUP (a closed terminal) blocked; their parent has to end them.

    Otherwise each process would print the traceback of a KeyboardInterrupt.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing.resource_tracker import ensure_running

    ensure_running()  # otherwise the first new process starts the tracker, which unblocks SIGINT afterwards
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})  # new processes inherit the mask
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent(parent: int, folder: Path | None = None) -> None:
    """Start a daemon thread that kills this process soon after its parent has ended, for whatever reason.

    Args:
        parent: the PID of the process that started this one.
        folder: a temporary folder to remove first, because the parent no longer can.
    """

    def watch() -> None:
        while os.getppid() == parent:  # an orphan gets another parent
            time.sleep(_TICK)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        os.kill(os.getpid(), signal.SIGKILL)  # whatever the other threads do

    threading.Thread(target=watch, daemon=True, name="cnncost: watches the parent").start()
