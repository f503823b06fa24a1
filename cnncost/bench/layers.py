"""Measures the time of each module call, excluding its children, with temporary forward hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from torch import nn

from cnncost.bench.backend import Backend
from cnncost.bench.result import Place


class Recorder:
    """Records a mark at the start and end of each module's forward; `end_run` turns the marks of a run into seconds.

    `runs` holds a dict for each run: the seconds of each module call, excluding its children, by (path, number of the
    call from 1), as in a Report's rows.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.runs: list[dict[Place, float]] = []
        self._events: list[tuple[str, bool, Any]] = []

    def enter(self, path: str) -> None:
        """Mark the start of a module's forward."""
        self._events.append((path, True, self.backend.mark()))

    def leave(self, path: str) -> None:
        """Mark the end of a module's forward."""
        self._events.append((path, False, self.backend.mark()))

    def end_run(self) -> None:
        """Finish a run; call it when the device has finished the run's work."""
        self.runs.append(exclusive(self._events))
        self._events = []

    def medians(self) -> dict[Place, float]:
        """Return the median seconds over all runs, by module call; a run without the call counts as 0."""
        places = dict.fromkeys(place for run in self.runs for place in run)
        return {place: median(run.get(place, 0.0) for run in self.runs) for place in places}

    def totals(self) -> list[float]:
        """Return the seconds of each whole run."""
        return [sum(run.values()) for run in self.runs]


def exclusive(events: list[tuple[str, bool, Any]]) -> dict[Place, float]:
    """Return the seconds of each module call, excluding its children.

    Args:
        events: (path, True if a call starts and False if it ends, mark), in order.
    """
    seconds: dict[Place, float] = {}
    calls: dict[str, int] = {}
    stack: list[tuple[Place, Any, float]] = []  # (call, start, seconds of its children)
    for path, begins, mark in events:
        if begins:
            calls[path] = calls.get(path, 0) + 1
            stack.append(((path, calls[path]), mark, 0.0))
            continue
        place, start, children = stack.pop()
        whole = start.until(mark)
        seconds[place] = whole - children
        if stack:
            parent, parent_start, children = stack[-1]
            stack[-1] = (parent, parent_start, children + whole)
    return seconds


@contextmanager
def recording(model: nn.Module, backend: Backend) -> Iterator[Recorder]:
    """Record every module's forward while in this context."""
    recorder = Recorder(backend)
    handles = []
    try:
        for path, module in model.named_modules():
            handles.append(module.register_forward_pre_hook(_before(recorder, path)))
            handles.append(module.register_forward_hook(_after(recorder, path), always_call=True))
        yield recorder
    finally:
        for handle in handles:
            handle.remove()


def _before(recorder: Recorder, path: str) -> Callable[..., None]:
    def hook(_module: nn.Module, _args: Any) -> None:
        recorder.enter(path)

    return hook


def _after(recorder: Recorder, path: str) -> Callable[..., None]:
    def hook(_module: nn.Module, _args: Any, _output: Any) -> None:
        recorder.leave(path)

    return hook
