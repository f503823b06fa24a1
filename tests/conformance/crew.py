"""Processes that work through models, one after another: one that dies or takes too long is replaced."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

_LIVES = 200
"""Models for one process: its memo of op signatures grows with each."""

Given = TypeVar("Given")


class Kept:
    """Lines of JSON by key, added to as they come; a half-written last line is left out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                key, value = json.loads(line)
            except ValueError:
                continue
            self.found[key] = value

    def add(self, key: str, value: dict[str, Any]) -> None:
        self.found[key] = value
        with self.path.open("a") as file:
            file.write(json.dumps([key, value]) + "\n")


class Worker(Generic[Given]):
    """A process, and what it is at. It says a line when it is ready, and answers each line of JSON with another."""

    def __init__(self, script: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.asks, self.answers = self.process.stdin, self.process.stdout
        self.at: Given | None = None
        self.since = 0.0
        self.done = 0
        self.answers.readline()  # it is ready

    def give(self, at: Given, asked: dict[str, Any]) -> None:
        self.at, self.since = at, time.monotonic()
        self.asks.write(json.dumps(asked) + "\n")
        self.asks.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.asks.close()
        self.answers.close()


class Crew(Generic[Given]):
    """Some workers, each a process of a script. `work` yields what was given and its answer, as they come."""

    def __init__(self, script: Path, jobs: int, timeout: float) -> None:
        self._script = script
        self._jobs = jobs or os.cpu_count() or 1
        self._timeout = timeout
        self._workers: list[Worker[Given]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        for worker in self._workers:
            worker.end()

    def work(self, asked: Iterable[tuple[Given, dict[str, Any]]]) -> Iterator[tuple[Given, dict[str, Any] | str]]:
        """Ask all, answered in any order; a string says why there is no answer. One with "leaves" is a worker's last.

        Each is taken from `asked` when a worker is free.
        """
        queue = iter(asked)
        while len(self._workers) < self._jobs and (first := next(queue, None)) is not None:
            self._workers.append(Worker(self._script))
            self._workers[-1].give(*first)
        while busy := [w for w in self._workers if w.at is not None]:
            ready, _, _ = select.select([w.answers for w in busy], [], [], 1.0)
            for worker in busy:
                at = worker.at
                assert at is not None
                if worker.answers in ready:
                    line = worker.answers.readline()
                    answer = json.loads(line) if line else "its process died"
                elif time.monotonic() - worker.since > self._timeout:
                    answer = f"not done in {self._timeout:g} s"
                else:
                    continue
                worker.at = None
                worker.done += 1
                yield at, answer
                if (following := next(queue, None)) is not None:
                    stays = not isinstance(answer, str) and worker.done < _LIVES and not answer.get("leaves")
                    (worker if stays else self._replaced(worker)).give(*following)

    def _replaced(self, worker: Worker[Given]) -> Worker[Given]:
        worker.end()
        self._workers[self._workers.index(worker)] = fresh = Worker[Given](self._script)
        return fresh
