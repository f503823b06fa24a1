"""Leaves nothing behind where a process ends in the middle of its work: by a signal, or as its parent is gone."""

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
"""Signals that end a process without a word, as `kill`, `timeout`, a batch system or a closed terminal send them."""
_TICK = 1.0
"""Seconds between two looks at the parent."""


class _Ended(BaseException):
    """Unwinds the stack after such a signal. Not an Exception, as nothing between may take it for an error."""


@contextmanager
def unwinding() -> Iterator[None]:
    """In this context, a signal that would end the process at once unwinds the stack first; then it ends the process.

    So temporary folders are removed, and processes ended. Where the program has a handler of its own, or in another
    thread than the main one, nothing is changed.
    """
    received: list[int] = []

    def unwind(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:  # the second one must not cut the unwinding short
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
    """In this context, processes are started that their terminal doesn't end: their parent does.

    Else they would say how they were interrupted, each with a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing.resource_tracker import ensure_running

    ensure_running()  # else started with the first process, after which it lets the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})  # which a new process inherits
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent(parent: int, folder: Path | None = None) -> None:
    """End this process soon after its parent has gone, however that ended; a daemon thread looks for it.

    Args:
        parent: the process that started this one.
        folder: a temporary folder that the parent would have removed.
    """

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_TICK)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        os.kill(os.getpid(), signal.SIGKILL)  # whatever the other threads do

    threading.Thread(target=look, daemon=True, name="cnncost: looks for the parent").start()
