"""Runs a grid: hands its tasks to a crew, and gives each point one row, whatever dies meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from cnncost.sweeps.crew import Crew, WorkersDied
from cnncost.sweeps.grid import Grid, Point
from cnncost.sweeps.work import Done, Values, done, failed

_LIVES = 200
"""Tasks of a process: imported code and caches of what it has seen grow with each model."""
_RESIDENT = 3 * 2**29
"""Bytes from which on processes are replaced: 1.5 GiB, of which torch and a zoo are a third."""
_TOGETHER = 4
"""Tasks of a worker in a round where answers come together."""


def rows(grid: Grid, known: set[int], crew: Crew) -> Iterator[tuple[int, Values]]:
    """A row for each point of the grid that is not known, as they are found.

    Work goes in rounds. A round ends when there is no more to do, when processes are to be replaced, or when one of
    them dies. Then what was under way is done again, one point at a time, so that only a point that ends its process
    twice while nothing else runs is a failure. Where the answers of a round come together, the round is done again
    before, and then each task by itself: a cluster takes seconds to begin.

    Args:
        grid: what is asked for.
        known: indices of points that have their row.
        crew: who does it.
    """
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
        if turn.worn:
            crew.recycle()


class _Round:
    """Tasks that go to the same processes.

    Attributes:
        waiting: tasks that were handed out and have no answer yet, by their first point.
        worn: whether the processes are to be replaced.
    """

    def __init__(self, grid: Grid, finished: set[int], crew: Crew) -> None:
        self.grid, self.finished, self.crew, self.sent = grid, finished, crew, grid.sent()
        self.waiting: dict[int, tuple[Point, ...]] = {}
        self.worn = False

    def answers(self) -> Iterator[tuple[int, Values]]:
        for answer in self.crew.work(done, self._given()):
            yield from self._taken(answer)

    def _given(self) -> Iterator[tuple[Grid, tuple[Point, ...]]]:
        """The tasks, made as joblib asks for them, in whichever of its threads."""
        most = (_LIVES if self.crew.streams else _TOGETHER) * self.crew.workers
        for count, task in enumerate(self.grid.tasks(frozenset(self.finished)), 1):
            self.waiting[task[0].at] = task
            yield self.sent, task
            if count >= most:
                self.worn = self.crew.streams
            if count >= most or self.worn:
                return

    def _taken(self, answer: Done) -> Iterator[tuple[int, Values]]:
        self.worn = self.worn or answer.resident > _RESIDENT
        del self.waiting[answer.rows[0][0]]
        for index, row in answer.rows:
            if index not in self.finished:
                self.finished.add(index)
                yield index, row


def _whole(grid: Grid, task: tuple[Point, ...], finished: set[int], crew: Crew) -> Iterator[tuple[int, Values]]:
    """A task that nothing else runs beside; none of its rows if a worker dies again."""
    with suppress(WorkersDied):
        for answer in crew.work(done, [(grid.sent(), task)]):
            finished.update(index for index, _ in answer.rows)
            yield from answer.rows


def _one_by_one(grid: Grid, points: list[Point], finished: set[int], crew: Crew) -> Iterator[tuple[int, Values]]:
    for point in points:
        for index, row in _alone(grid, point, crew):
            finished.add(index)
            yield index, row


def _alone(grid: Grid, point: Point, crew: Crew) -> list[tuple[int, Values]]:
    """The row of a point that nothing else runs beside: twice, as it may not have been at work when a process died."""
    for _ in range(2):
        with suppress(WorkersDied):
            return [row for answer in crew.work(done, [(grid.sent(), (point,))]) for row in answer.rows]
    return [(point.at, failed("the process that analyzed it died, twice: too little memory, or a crash"))]
