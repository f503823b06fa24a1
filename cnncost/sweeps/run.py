"""Runs a grid: hands its tasks to a crew, and gives each point one row, whatever dies meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from cnncost.sweeps.crew import Crew, WorkersDied
from cnncost.sweeps.grid import Grid, Point
from cnncost.sweeps.work import Values, done, ended, failed, row

_TOGETHER = 4
"""Tasks of a worker in a round where answers come together."""


def rows(grid: Grid, known: set[int], crew: Crew) -> Iterator[tuple[int, Values]]:
    """A row for each point of the grid that is not known, as they are found.

    A cluster works in rounds. A round ends when there is no more to do, or when a worker dies. Then what was under way
    is done again, one point at a time, so that only a point that ends its worker twice while nothing else runs is a
    failure. Where the answers of a round come together, the round is done again before, and then each task by itself:
    a cluster takes seconds to begin.

    Args:
        grid: what is asked for.
        known: indices of points that have their row.
        crew: who does it.
    """
    if crew.processes is not None:
        sent = grid.sent()
        calls = (((sent, point) for point in task) for task in grid.tasks(frozenset(known)))
        for (_, point), answer in crew.processes.work(row, calls):
            yield point.at, ended(answer)
        return
    finished, patient = set(known), not crew.streams
    while len(finished) < len(grid):
        turn = _Round(grid, finished, crew)
        try:
            yield from turn.answers()
            patient = not crew.streams
        except WorkersDied:
            if patient:  # all answers of the round are lost with one worker: once more, before each point by itself
                patient = False
                continue
            for task in turn.waiting.values():
                if not crew.streams:
                    yield from _whole(grid, task, finished, crew)
                yield from _one_by_one(grid, [point for point in task if point.at not in finished], finished, crew)


class _Round:
    """Tasks that go to the same workers.

    Attributes:
        waiting: tasks that were handed out and have no answer yet, by their first point.
    """

    def __init__(self, grid: Grid, finished: set[int], crew: Crew) -> None:
        self.grid, self.finished, self.crew, self.sent = grid, finished, crew, grid.sent()
        self.waiting: dict[int, tuple[Point, ...]] = {}

    def answers(self) -> Iterator[tuple[int, Values]]:
        for answer in self.crew.work(done, self._given()):
            del self.waiting[min(index for index, _ in answer)]
            for index, found in answer:
                if index not in self.finished:
                    self.finished.add(index)
                    yield index, found

    def _given(self) -> Iterator[tuple[Grid, tuple[Point, ...], float | None]]:
        """The tasks, made as joblib asks for them, in whichever of its threads."""
        most = None if self.crew.streams else _TOGETHER * self.crew.workers
        for task in islice(self.grid.tasks(frozenset(self.finished)), most):
            self.waiting[task[0].at] = task
            yield self.sent, task, self.crew.timeout


def _whole(grid: Grid, task: tuple[Point, ...], finished: set[int], crew: Crew) -> Iterator[tuple[int, Values]]:
    """A task that nothing else runs beside; none of its rows if a worker dies again."""
    with suppress(WorkersDied):
        for answer in crew.work(done, [(grid.sent(), task, crew.timeout)]):
            finished.update(index for index, _ in answer)
            yield from answer


def _one_by_one(grid: Grid, points: list[Point], finished: set[int], crew: Crew) -> Iterator[tuple[int, Values]]:
    for point in points:
        for index, found in _alone(grid, point, crew):
            finished.add(index)
            yield index, found


def _alone(grid: Grid, point: Point, crew: Crew) -> list[tuple[int, Values]]:
    """The row of a point that nothing else runs beside: twice, as it may not have been at work when a process died."""
    for _ in range(2):
        with suppress(WorkersDied):
            return [found for answer in crew.work(done, [(grid.sent(), (point,), crew.timeout)]) for found in answer]
    return [(point.at, failed("the process that analyzed it died, twice: too little memory, or a crash"))]
