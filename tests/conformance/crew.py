"""Processes that measure models one after another: one that dies or takes too long is replaced."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from entries import Entry

_WORKER = Path(__file__).with_name("measure.py")
_LIVES = 200
"""Models for one process: its memo of op signatures grows with each."""


class Worker:
    """A process, and the entry that it is at."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(_WORKER)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.asks, self.answers = self.process.stdin, self.process.stdout
        self.entry: Entry | None = None
        self.since = 0.0
        self.done = 0
        self.answers.readline()  # it is ready

    def give(self, entry: Entry, counted: dict[str, Any] | None) -> None:
        self.entry, self.since = entry, time.monotonic()
        self.asks.write(json.dumps({"entry": entry._asdict(), "counted": counted}) + "\n")
        self.asks.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.asks.close()
        self.answers.close()


class Crew:
    """Some workers. `work` yields an entry, its row and what the counter found, as they come."""

    def __init__(self, jobs: int, timeout: float) -> None:
        self._jobs = jobs or os.cpu_count() or 1
        self._timeout = timeout
        self._workers: list[Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        for worker in self._workers:
            worker.end()

    def work(
        self, waiting: list[Entry], counted: dict[str, dict[str, Any]]
    ) -> Iterator[tuple[Entry, dict[str, Any], dict[str, Any] | None]]:
        """Measure all, in any order."""
        queue = list(reversed(waiting))
        self._workers = [Worker() for _ in range(min(self._jobs, len(queue)))]
        for worker in self._workers:
            self._next(worker, queue, counted)
        while busy := [w for w in self._workers if w.entry is not None]:
            ready, _, _ = select.select([w.answers for w in busy], [], [], 1.0)
            for worker in busy:
                entry = worker.entry
                assert entry is not None
                if worker.answers in ready:
                    line = worker.answers.readline()
                    answer = json.loads(line) if line else {"row": _failed(entry, "its process died"), "counted": None}
                    worker.entry = None
                elif time.monotonic() - worker.since > self._timeout:
                    answer = {"row": _failed(entry, f"not done in {self._timeout:g} s"), "counted": None}
                    line, worker.entry = "", None
                else:
                    continue
                yield entry, answer["row"], answer["counted"]
                self._next(worker if line else self._replaced(worker), queue, counted)

    def _next(self, worker: Worker, queue: list[Entry], counted: dict[str, dict[str, Any]]) -> None:
        if not queue:
            return
        if worker.done >= _LIVES:
            worker = self._replaced(worker)
        worker.done += 1
        entry = queue.pop()
        worker.give(entry, counted.get(entry.key))

    def _replaced(self, worker: Worker) -> Worker:
        worker.end()
        self._workers[self._workers.index(worker)] = fresh = Worker()
        return fresh


def _failed(entry: Entry, why: str) -> dict[str, Any]:
    return {**entry._asdict(), "error": f"{why} on this model"}
