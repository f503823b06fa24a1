"""Worker processes that answer calls; a process that dies, takes too long or uses much memory is replaced."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from queue import Empty
from threading import Lock
from typing import Any, Literal, NamedTuple, Self, TypeAlias
from weakref import WeakSet

from cnncost.endings import end_with_parent, uninterrupted_children
from cnncost.errors import SweepError

Call: TypeAlias = "tuple[Any, ...]"
"""The arguments of a call."""
_MAX_CALLS = 200
"""Number of calls after which a process is replaced: imported code and caches grow with each model."""
_MAX_RESIDENT = 3 * 2**29
"""Resident bytes above which a process is replaced: 1.5 GiB, a third of it for torch and a model library."""
_DESCRIPTORS = 16
"""File descriptors that must be free to start a process: loky's pipes need 7, and others are open meanwhile."""
_TICK = 1.0
"""Maximum number of seconds between checks of the time limit."""
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")


class Ended(NamedTuple):
    """Result of a call without an answer: its process died twice, or was killed at the time limit.

    Attributes:
        why: which of the two.
        seconds: the time limit; None if the process died.
    """

    why: Literal["died", "late"]
    seconds: float | None = None

    def __str__(self) -> str:
        if self.why == "late":
            return f"not done in {self.seconds:g} s; its process was killed"
        return "the process that analyzed it died twice: too little memory, or a crash"


class Processes:
    """A pool of processes, started as needed, each with one call at a time.

    Each process is a loky pool (joblib's) of its own, so that the call of a process that died is known.

    Args:
        most: maximum number of processes.
        seconds: wall-clock limit for a call, from when its process is ready; None: no limit.
        ready: called first in each process; its time does not count as a call's. What it and the calls print goes to
            standard error.
        grown: called in the process after each call; returns whether to replace the process. None: its memory decides.
    """

    def __init__(
        self, most: int, seconds: float | None = None, ready: Callable[[], Any] | None = None,
        grown: Callable[[], bool] | None = None,
    ) -> None:  # fmt: skip
        self.most, self._seconds = most, seconds
        _OPEN_FILES.allow(self, most)
        self._ready, self._grown = ready, grown or _holds_much
        self._all: list[_Process] = []

    def work(self, function: Callable[..., Any], tasks: Iterable[Iterable[Call]]) -> Iterator[tuple[Call, Any]]:
        """Yield each call and its answer, or `Ended`, as they arrive.

        The calls of a task go to one process, one after the other; tasks are taken as processes become free. A call
        whose process died is repeated once at the end, when no other process uses memory.

        Raises:
            Exception: the function raised it.
        """
        queue, again = iter(tasks), list[Call]()
        try:
            while True:
                self._hand_out(function, queue)
                busy = [each for each in self._all if each.call is not None]
                if not busy:
                    break
                for call, answer in self._answers(busy, function):
                    if answer == Ended("died"):
                        again.append(call)
                    else:
                        yield call, answer
            if again:
                self.end(self._all[1:])  # leaves all memory to one process
            for call in again:
                self._all[0].remaining = iter((call,))
                self._all[0].start_next(function)
                while self._all[0].call is not None:
                    yield from self._answers(self._all[:1], function)
        finally:
            self.end([each for each in self._all if each.call is not None])  # the caller stopped iterating

    def _make(self) -> _Process:
        return _Process(self._ready, self._grown)

    def _hand_out(self, function: Callable[..., Any], queue: Iterator[Iterable[Call]]) -> None:
        """Give a task to each idle process, and start further processes for the remaining tasks."""
        for i in range(self.most):
            while i == len(self._all) or self._all[i].call is None:  # a task without calls leaves the process idle
                task = next(queue, None)
                if task is None:
                    return
                if i == len(self._all):
                    self._all.append(self._make())
                self._all[i].remaining = iter(task)
                self._all[i].start_next(function)

    def _answers(self, busy: list[_Process], function: Callable[..., Any]) -> Iterator[tuple[Call, Any]]:
        """Yield the answers that have arrived, or `Ended`, each after its process has started the next call."""
        with warnings.catch_warnings():
            # loky warns about a process that it replaces because of its memory
            warnings.filterwarnings("ignore", message="A worker stopped")
            wait([each.awaited for each in busy], _TICK, FIRST_COMPLETED)
        for process in busy:
            call, answer = process.call, process.answer(self._seconds)
            if call is None or answer is None:
                continue
            stays = isinstance(answer, _Answer) and not answer.grown
            (process if stays else self._replaced(process)).start_next(function)
            yield call, answer.value if isinstance(answer, _Answer) else answer

    def _replaced(self, process: _Process) -> _Process:
        """Replace a process with a new one, which continues its task."""
        i = self._all.index(process)
        process.end()
        self._all[i] = fresh = self._make()
        fresh.remaining = process.remaining
        return fresh

    def end(self, which: list[_Process] | None = None) -> None:
        """Kill processes, even during a call. None: kill all, and restore the limit of open files."""
        for process in list(self._all if which is None else which):
            process.end()
            self._all.remove(process)
        if which is None:
            _OPEN_FILES.restore(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class _OpenFiles:
    """The soft limit of this process's open files, raised while a pool needs more. Child processes inherit it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pools: WeakSet[Processes] = WeakSet()
        self._before, self._raised = 0, 0

    def allow(self, pool: Processes, processes: int) -> None:
        """Raise the limit, as far as this process may, if this many processes may need more open files."""
        try:
            from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit, setrlimit
        except ImportError:  # not on Windows
            return
        with self._lock:
            (soft, hard), needed = getrlimit(RLIMIT_NOFILE), (processes + 1) * _DESCRIPTORS
            before = self._before if self._pools and soft == self._raised else soft  # before other pools raised it
            if before == RLIM_INFINITY or before >= needed:
                return
            raised = max(soft, needed if hard == RLIM_INFINITY else min(needed, hard))
            with suppress(OSError, ValueError):
                setrlimit(RLIMIT_NOFILE, (raised, hard))
                self._before, self._raised = before, raised
                self._pools.add(pool)

    def restore(self, pool: Processes) -> None:
        """Set the limit back once no other pool needs more, unless other code has changed it since."""
        with self._lock:
            if pool not in self._pools:
                return
            self._pools.remove(pool)
            if self._pools:
                return
            from resource import RLIMIT_NOFILE, getrlimit, setrlimit

            soft, hard = getrlimit(RLIMIT_NOFILE)
            if soft == self._raised:
                with suppress(OSError, ValueError):
                    setrlimit(RLIMIT_NOFILE, (self._before, hard))


_OPEN_FILES = _OpenFiles()


def _check_descriptors() -> None:
    """Raise OSError if too few files can be opened to start a process; loky would fail halfway, or in a thread."""
    opened: list[int] = []
    try:
        opened += (os.open(os.devnull, os.O_RDONLY) for _ in range(_DESCRIPTORS))
    finally:
        for each in opened:
            os.close(each)


class _Answer(NamedTuple):
    value: Any
    grown: bool


class _Process:
    """A process.

    Attributes:
        call: the current call; None if the process is idle.
        remaining: the further calls of its task.
    """

    def __init__(self, ready: Callable[[], Any] | None, grown: Callable[[], bool]) -> None:
        from joblib.externals.loky import ProcessPoolExecutor

        self._grown, self._calls_left, self._since = grown, _MAX_CALLS, 0.0
        try:
            _check_descriptors()
            with uninterrupted_children():
                self._pool = ProcessPoolExecutor(1, initializer=_begin, initargs=(ready, os.getpid()), env=_ONE_THREAD)
                self._started: Future[None] = self._pool.submit(_started_signal)
        except (OSError, UnboundLocalError) as error:  # loky's own handling of an OSError fails with the latter
            first = error if isinstance(error, OSError) else error.__context__
            if not isinstance(first, OSError):
                raise
            raise SweepError(
                f"sweep: a process can't be started: {first.strerror or first}; use fewer with --jobs 1, or raise the "
                "limit: ulimit -n for open files, ulimit -u for processes"
            ) from error
        except AssertionError:  # from multiprocessing: a daemonic process can't have children
            raise SweepError(
                "sweep: a time limit needs a child process, which a daemonic worker can't have; start Dask's "
                "workers with --no-nanny, or with DASK_DISTRIBUTED__WORKER__DAEMON=False"
            ) from None
        self._future: Future[tuple[Any, bool]] | None = None
        self.call: Call | None = None
        self.remaining: Iterator[Call] = iter(())

    def start_next(self, function: Callable[..., Any]) -> None:
        """Start the next call of the task, if there is one."""
        self.call, self._future = next(self.remaining, None), None
        self._since = time.monotonic() if self._started.done() else 0.0  # 0: `answer` sets it once the process is ready
        if self.call is not None:
            self._calls_left -= 1
            with suppress(BrokenProcessPool):  # the process has died: `answer` will say so
                self._future = self._pool.submit(_call, function, self.call, self._grown)

    @property
    def awaited(self) -> Future[Any]:
        """The future to wait for: the start of the process until it is ready, then the answer."""
        return self._future if self._future is not None and self._started.done() else self._started

    def answer(self, seconds: float | None) -> _Answer | Ended | None:
        """Return the call's answer or `Ended`; None while it runs. Raises what the function raised."""
        if not self._started.done():
            return None
        try:
            if self._future is None or self._started.exception() is not None:
                return Ended("died")
            self._since = self._since or time.monotonic()
            if self._future.done():
                value, grown = self._future.result()
                return _Answer(value, grown or self._calls_left < 1)
        except BrokenProcessPool:
            return Ended("died")
        late = seconds is not None and time.monotonic() - self._since > seconds
        return Ended("late", seconds) if late else None

    def end(self) -> None:
        self.call = None
        with suppress(Empty):  # loky's thread would print a traceback for ids of calls that the shutdown drops
            while True:
                self._pool._work_ids.get_nowait()
        self._pool.shutdown(wait=True, kill_workers=True)


def _begin(ready: Callable[[], Any] | None, parent: int) -> None:
    """Initialize a process: let it end with its parent, send its output to standard error, and call `ready`."""
    end_with_parent(parent)
    sys.stdout.flush()
    os.dup2(2, 1)  # also redirects what models' C code prints: standard output is for the sweep's rows
    if ready is not None:
        ready()


def _started_signal() -> None:
    """Do nothing: this is the first call, so its answer shows that the process is ready."""


def _call(function: Callable[..., Any], call: Call, grown: Callable[[], bool]) -> tuple[Any, bool]:
    return function(*call), grown()


def _holds_much() -> bool:
    return resident() > _MAX_RESIDENT


def resident() -> int:
    """Return the resident bytes of this process; 0 if the system doesn't report them."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  # fast: runs after every call
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
