"""Runs a grid on a pool of workers, and yields one row per point even if workers die."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from cnncost.sweeps.grid import Grid, Point
from cnncost.sweeps.work import Values, failed, row, row_of_answer, rows_of_task
from cnncost.sweeps.worker_pool import WorkerPool, WorkersDied

_TOGETHER = 4
"""Number of tasks per worker in a round if a round's answers arrive together."""


def rows(grid: Grid, known: set[int], pool: WorkerPool) -> Iterator[tuple[int, Values]]:
    """Yield (index, row) for each point of the grid without a known row, in the order in which rows arrive.

    A cluster works in rounds. A round ends when its tasks are finished or a worker dies. In the latter case, tasks
    without an answer are repeated one point at a time, so that only a point that kills its worker twice while nothing
    else runs counts as failed. If the answers of a round arrive together, a worker's death loses all of them: because
    starting tasks on such a cluster takes seconds, the whole round is then repeated first, and next each task.

    Args:
        grid: what to analyze.
        known: indices of points that already have a row.
        pool: the workers.
    """
    for_workers, tasks = grid.for_workers(), grid.tasks(frozenset(known))
    if pool.processes is not None:
        calls = (((for_workers, point) for point in task) for task in tasks)
        for (_, point), answer in pool.processes.work(row, calls):
            yield point.at, row_of_answer(answer)
        return
    if pool.backend == "processes":  # in this process: point by point, so that an interruption loses only one row
        for task in tasks:
            for point in task:
                yield from rows_of_task(for_workers, (point,))
        return
    finished, patient = set(known), not pool.streams
    while len(finished) < len(grid):
        turn = _Round(grid, finished, pool)
        try:
            yield from turn.answers()
            patient = not pool.streams
        except WorkersDied:
            if patient:  # answers arrive together, so all of this round's are lost: repeat it once
                patient = False
                continue
            for task in turn.waiting.values():
                if not pool.streams:
                    yield from _run_task_alone(grid, task, finished, pool)
                yield from _one_by_one(grid, [point for point in task if point.at not in finished], finished, pool)


class _Round:
    """Tasks that are sent to the workers until a worker dies.

    Attributes:
        waiting: tasks that were sent and have no answer yet, by index of their first point.
    """

    def __init__(self, grid: Grid, finished: set[int], pool: WorkerPool) -> None:
        self.grid, self.finished, self.pool, self.for_workers = grid, finished, pool, grid.for_workers()
        self.waiting: dict[int, tuple[Point, ...]] = {}

    def answers(self) -> Iterator[tuple[int, Values]]:
        """Yield (index, row) for each point. Raises WorkersDied if a worker dies."""
        for answer in self.pool.work(rows_of_task, self._calls()):
            del self.waiting[min(index for index, _ in answer)]
            for index, found in answer:
                if index not in self.finished:
                    self.finished.add(index)
                    yield index, found

    def _calls(self) -> Iterator[tuple[Grid, tuple[Point, ...], float | None]]:
        """Yield the arguments of `rows_of_task` for each task. Joblib may run this generator in any of its threads."""
        most = None if self.pool.streams else _TOGETHER * self.pool.workers
        for task in islice(self.grid.tasks(frozenset(self.finished)), most):
            self.waiting[task[0].at] = task
            yield self.for_workers, task, self.pool.timeout


def _run_task_alone(
    grid: Grid, task: tuple[Point, ...], finished: set[int], pool: WorkerPool
) -> Iterator[tuple[int, Values]]:
    """Run one task while nothing else runs; yield none of its rows if a worker dies again."""
    with suppress(WorkersDied):
        for answer in pool.work(rows_of_task, [(grid.for_workers(), task, pool.timeout)]):
            finished.update(index for index, _ in answer)
            yield from answer


def _one_by_one(grid: Grid, points: list[Point], finished: set[int], pool: WorkerPool) -> Iterator[tuple[int, Values]]:
    for point in points:
        for index, found in _run_point_alone(grid, point, pool):
            finished.add(index)
            yield index, found


def _run_point_alone(grid: Grid, point: Point, pool: WorkerPool) -> list[tuple[int, Values]]:
    """Return the row of a point that runs alone. A worker's death may have another cause, so there are two attempts."""
    for _ in range(2):
        with suppress(WorkersDied):
            return [
                found
                for answer in pool.work(rows_of_task, [(grid.for_workers(), (point,), pool.timeout)])
                for found in answer
            ]
    return [(point.at, failed("the process that analyzed it died twice: too little memory, or a crash"))]
