"""Processes of this machine that answer calls: one that dies, takes too long or has grown is replaced, others go on."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any, Literal, NamedTuple, Self, TypeAlias

from cnncost.errors import SweepError

Call: TypeAlias = "tuple[Any, ...]"
"""The arguments of a call."""
_LIVES = 200
"""Calls of a process: imported code and caches of what it has seen grow with each model."""
_RESIDENT = 3 * 2**29
"""Bytes from which on a process is replaced: 1.5 GiB, of which torch and a zoo are a third."""
_TICK = 1.0
"""Seconds after which the clock is looked at while no answer comes."""
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")


class Ended(NamedTuple):
    """What a call has in place of an answer: its process died twice, or had to be ended after the time allowed.

    Attributes:
        why: which of the two.
        seconds: that were allowed.
    """

    why: Literal["died", "late"]
    seconds: float | None = None

    def __str__(self) -> str:
        if self.why == "late":
            return f"not done in {self.seconds:g} s, and ended"
        return "the process that analyzed it died, twice: too little memory, or a crash"


class Processes:
    """Processes, each at one call at a time, begun as they are needed.

    Each is a pool of one of joblib's loky, so that it is known which call a process was at when it died.

    Args:
        most: how many.
        seconds: allowed for a call, by the clock, from when the process is ready; None: any.
        ready: called first in each process; what it takes is no call's time. What it prints, and what calls print, goes
            to standard error.
        grown: called in the process after each answer: whether it should be replaced; None: by the memory it holds.
    """

    def __init__(
        self, most: int, seconds: float | None = None, ready: Callable[[], Any] | None = None,
        grown: Callable[[], bool] | None = None,
    ) -> None:  # fmt: skip
        self.most, self._seconds = most, seconds
        self._ready, self._grown = ready, grown or _holds_much
        self._all: list[_Process] = []

    def work(self, function: Callable[..., Any], tasks: Iterable[Iterable[Call]]) -> Iterator[tuple[Call, Any]]:
        """Each call and its answer, or why it has ended, as they come.

        The calls of a task go to one process, one after the other; tasks are taken as processes are free. A call whose
        process dies is made once more at the end, when no other process takes its memory.

        Raises:
            Exception: the function's own.
        """
        queue, again = iter(tasks), list[Call]()
        try:
            while True:
                self._hand_out(function, queue)
                busy = [each for each in self._all if each.at is not None]
                if not busy:
                    break
                for call, answer in self._answers(busy, function):
                    if answer == Ended("died"):
                        again.append(call)
                    else:
                        yield call, answer
            if again:
                self.end(self._all[1:])
            for call in again:
                self._all[0].rest = iter((call,))
                self._all[0].next(function)
                while self._all[0].at is not None:
                    yield from self._answers(self._all[:1], function)
        finally:
            self.end([each for each in self._all if each.at is not None])  # who asked wants no more

    def _make(self) -> _Process:
        return _Process(self._ready, self._grown)

    def _hand_out(self, function: Callable[..., Any], queue: Iterator[Iterable[Call]]) -> None:
        for at in range(self.most):
            while at == len(self._all) or self._all[at].at is None:
                task = next(queue, None)
                if task is None:
                    return
                if at == len(self._all):
                    self._all.append(self._make())
                self._all[at].rest = iter(task)
                self._all[at].next(function)

    def _answers(self, busy: list[_Process], function: Callable[..., Any]) -> Iterator[tuple[Call, Any]]:
        """Those that have come, or will not come; each process is at its next call before its answer is told."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="A worker stopped")  # loky replaces one that has grown
            wait([each.awaited for each in busy], _TICK, FIRST_COMPLETED)
        for process in busy:
            call, answer = process.at, process.answer(self._seconds)
            if call is None or answer is None:
                continue
            stays = isinstance(answer, _Answer) and not answer.grown
            (process if stays else self._replaced(process)).next(function)
            yield call, answer.value if isinstance(answer, _Answer) else answer

    def _replaced(self, process: _Process) -> _Process:
        """A fresh one, which goes on with the task."""
        at, rest = self._all.index(process), process.rest
        process.end()
        self._all[at] = fresh = self._make()
        fresh.rest = rest
        return fresh

    def end(self, which: list[_Process] | None = None) -> None:
        """End the processes, all or some of them, whatever they are at."""
        for process in list(self._all if which is None else which):
            process.end()
            self._all.remove(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class _Answer(NamedTuple):
    value: Any
    grown: bool


class _Process:
    """A process, the call that it is at, and the rest of its task."""

    def __init__(self, ready: Callable[[], Any] | None, grown: Callable[[], bool]) -> None:
        from joblib.externals.loky import ProcessPoolExecutor

        self._pool = ProcessPoolExecutor(1, initializer=_begin, initargs=(ready,), env=_ONE_THREAD)
        self._grown, self._lives, self._since = grown, _LIVES, 0.0
        try:
            self._begun: Future[None] = self._pool.submit(_nothing)
        except AssertionError:  # multiprocessing's, by which a daemon has no children
            raise SweepError(
                "sweep: a worker that is a daemon can't have the process that a limit of time needs; start Dask's "
                "workers by --no-nanny, or with DASK_DISTRIBUTED__WORKER__DAEMON=False"
            ) from None
        self._made: Future[tuple[Any, bool]] | None = None
        self.at: Call | None = None
        self.rest: Iterator[Call] = iter(())

    def next(self, function: Callable[..., Any]) -> None:
        """Begin the next call of the task, if there is one."""
        self.at, self._made = next(self.rest, None), None
        self._since = time.monotonic() if self._begun.done() else 0.0
        if self.at is not None:
            self._lives -= 1
            with suppress(BrokenProcessPool):  # it died before: `answer` will say so
                self._made = self._pool.submit(_made, function, self.at, self._grown)

    @property
    def awaited(self) -> Future[Any]:
        """What is done next: that the process is ready, or the answer."""
        return self._made if self._made is not None and self._begun.done() else self._begun

    def answer(self, seconds: float | None) -> _Answer | Ended | None:
        """What came of the call; None as long as nothing has. Raises what the function raised."""
        if not self._begun.done():
            return None
        try:
            if self._made is None or self._begun.exception() is not None:
                return Ended("died")
            self._since = self._since or time.monotonic()
            if self._made.done():
                value, grown = self._made.result()
                return _Answer(value, grown or self._lives < 1)
        except BrokenProcessPool:
            return Ended("died")
        late = seconds is not None and time.monotonic() - self._since > seconds
        return Ended("late", seconds) if late else None

    def end(self) -> None:
        self.at = None
        self._pool.shutdown(wait=True, kill_workers=True)


def _begin(ready: Callable[[], Any] | None) -> None:
    """What models print is no row: standard output is the sweep's, also for what is written in C."""
    sys.stdout.flush()
    os.dup2(2, 1)
    if ready is not None:
        ready()


def _nothing() -> None:
    """The first call: answered when the process is ready."""


def _made(function: Callable[..., Any], call: Call, grown: Callable[[], bool]) -> tuple[Any, bool]:
    return function(*call), grown()


def _holds_much() -> bool:
    return resident() > _RESIDENT


def resident() -> int:
    """Bytes of memory that this process holds; 0 where the system doesn't say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  # read after every call
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
