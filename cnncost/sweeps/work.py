"""The work of one process: analyzes the points of a task; a point that fails is a row with the reason."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock, local
from typing import Any, cast

from cnncost.errors import CnncostError, InputError
from cnncost.sweeps.figures import FIGURES, LOOSE, LOWER
from cnncost.sweeps.grid import Grid, Point
from cnncost.sweeps.processes import Ended, Processes

Values = dict[str, Any]
"""A row: by column, an int, float, str or None."""
_BUILT: dict[tuple[str, str, str | None], Any] = {}
"""The sampler of the model that this process built last, or the error message, by (the grid's key, model, dtype)."""
_ONE_AT_A_TIME = Lock()
"""Held while recording, which patches the whole process: a cluster's worker may have several threads."""
_THREAD = local()
"""Thread-local: `processes`, the thread's child process, and `timeout`, that process's time limit."""


def prepare(torch: bool = True) -> None:
    """Import what every point needs, so that the imports don't count as a model's time. ONNX files need no torch."""
    import cnncost.analysis
    import cnncost.laws.samples

    if torch:
        import cnncost.frontends.torch  # noqa: F401  # takes seconds if the disk or the processor is busy


def prepared_for(models: Sequence[str]) -> Callable[[], None]:
    """Return the function that a process calls before the first point of these models."""
    return partial(prepare, torch=not all(model.endswith(".onnx") for model in models))


def rows_of_task(grid: Grid, task: tuple[Point, ...], timeout: float | None = None) -> list[tuple[int, Values]]:
    """Return (index, row) for each point of a task. A model's errors become rows and are not raised.

    Args:
        grid: what to analyze.
        task: the points.
        timeout: wall-clock limit for each point in seconds; if given, points run in a child process, which is reused.

    Raises:
        SweepError: no child process can be started, for example because this process is daemonic.
    """
    if timeout is None:
        with _ONE_AT_A_TIME:
            return [(point.at, row(grid, point)) for point in task]
    found = _process_of_thread(timeout, prepared_for(grid.models)).work(row, [[(grid, point) for point in task]])
    return [(point.at, row_of_answer(answer)) for (_, point), answer in found]


def _process_of_thread(timeout: float, ready: Callable[[], None]) -> Processes:
    """Return this thread's child process: a cluster's worker may have several threads."""
    if getattr(_THREAD, "timeout", None) != timeout:
        _THREAD.timeout, _THREAD.processes = timeout, Processes(1, timeout, ready)
    found: Processes = _THREAD.processes
    return found


def row(grid: Grid, point: Point) -> Values:
    """Return the row of a point. A model's errors become rows and are not raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a library's warnings about its own models don't help the user
        return _row(grid, point)


def row_of_answer(answer: Values | Ended) -> Values:
    """Return the row for a child process's answer; after a timeout, an error row with the limit (s) as `late`."""
    if not isinstance(answer, Ended):
        return answer
    return {**failed(str(answer)), **({"late": answer.seconds} if answer.why == "late" else {})}


def _row(grid: Grid, point: Point) -> Values:
    try:
        return _analyzed(grid, point)
    except CnncostError as error:
        return failed(" ".join(str(error).split()))
    except (Exception, SystemExit) as error:  # noqa: BLE001  # from a model's own code: the sweep continues
        return failed(f"{type(error).__name__}: {' '.join(str(error).split())}")


def failed(reason: str) -> Values:
    """Return the row of a point without figures."""
    return {"error": reason[:500] or "failed without a message"}


def _analyzed(grid: Grid, point: Point) -> Values:
    """Return the row of a point. If no training step can be recorded, its columns are None, and `note` says why."""
    sampler = _sampler(grid, point)
    training = any(FIGURES[name].training for name in grid.columns)
    remark = ""  # why columns are empty
    try:
        report = sampler.report(point.sizes, training=training)
    except CnncostError as error:
        if not training:
            raise
        remark = f"no training step: {' '.join(str(error).split())}"[:300]
        report = sampler.report(point.sizes)
    without_step = bool(remark)
    row: Values = {"input": "; ".join(f"{'x'.join(map(str, shape))}:{dtype}" for shape, dtype in report.inputs)}
    loose = [name for name in grid.columns if name in LOOSE and report.totals.lower_bound]
    for name in grid.columns:
        figure = FIGURES[name]
        row[name] = None if name in loose or (figure.training and without_step) else figure.read(report)
    if loose:
        remark = remark or f"no {', '.join(LOOSE[name] for name in loose)}: ops without a rule are missing"
    if "accuracy" in grid.columns:
        row |= _accuracy(grid, point, report)
    for device in grid.devices:
        seconds, why = _predicted(report, device)
        row[f"seconds_{device}"] = seconds
        remark = remark or why
    row["lower_bound"] = _lower_bounds(report, grid)
    row["trace"] = "real" if report.run_on else "static"
    row["note"] = "; ".join(dict.fromkeys([remark, *report.notes] if remark else report.notes)) or None
    return row


def _lower_bounds(report: Any, grid: Grid) -> str | None:
    """Return the columns that are lower bounds because ops or temporaries are missing, separated by spaces, or None."""
    totals = report.totals
    found = [name for name in grid.columns if totals.lower_bound and name in LOWER]
    found += [name for name in grid.columns if totals.training_lower_bound and name.startswith("training_")]
    of_memory = [name for name in grid.columns if name in {"inference_peak", "training_peak", "activations"}]
    if of_memory and report.memory.figures.unseen:  # memory is computed only if a column needs it
        found += of_memory
    if totals.lower_bound:
        found += [f"seconds_{device}" for device in grid.devices]
    return " ".join(dict.fromkeys(found)) or None


def _accuracy(grid: Grid, point: Point, report: Any) -> Values:
    """Return the published accuracy; None if the input is not the published one, or more than batch and size varies."""
    from cnncost.sources.names import IMAGE_SIZES, published_accuracy
    from cnncost.sources.sizes import leaves

    arguments = dict(grid.model_args)
    stated = published_accuracy(point.model, arguments)
    if stated is None or not set(grid.variables) <= IMAGE_SIZES or len(report.inputs) != 1:
        return {"accuracy": None, "accuracy_of": None}
    accuracy, weights, inputs = stated
    measured_with = leaves(inputs)[0].shape
    fits = report.inputs[0][0][1:] == measured_with[1:]
    return {"accuracy": accuracy if fits else None, "accuracy_of": weights if fits else None}


def _predicted(report: Any, device: str) -> tuple[float | None, str]:
    """Return (the seconds of a forward by the roofline, ""), or (None, the reason)."""
    from cnncost.devices import find
    from cnncost.passes.roofline import roofline
    from cnncost.report.prediction import forward_time

    try:
        return forward_time(roofline(report.graph, find(device))).seconds, ""
    except CnncostError as error:
        return None, f"no time on {device}: {' '.join(str(error).split())}"[:300]


def _sampler(grid: Grid, point: Point) -> Any:
    """Return the sampler of a point's model. The sampler, or the error of building it, is cached for later points."""
    key = (grid.key, point.model, point.dtype)
    if key not in _BUILT:
        _BUILT.clear()
        try:
            _BUILT[key] = sampler_of(grid, point.model, point.dtype)
        except CnncostError as error:
            _BUILT[key] = str(error)
    if isinstance(built := _BUILT[key], str):
        raise InputError(built)
    return built


def sampler_of(grid: Grid, model: str, dtype: str | None) -> Any:
    """Return a sampler of a model of the grid.

    Raises:
        CnncostError: the model can't be built, or lacks an axis that varies.
    """
    from cnncost.laws.samples import Sampler
    from cnncost.laws.variables import VariableRequest
    from cnncost.sources.settings import Settings

    settings = Settings(
        inputs=grid.inputs, model_args=grid.model_args, dtype=dtype, trace=cast("Any", grid.trace),
        autocast=grid.autocast,
    )  # fmt: skip
    values: dict[str, list[int]] = {name: [] for name in grid.variables}
    for axis in grid.axes:
        for sizes in axis.values:
            for name, size in zip(axis.variables, sizes, strict=True):
                values[name].append(size)
    requests = [VariableRequest(name, tuple(dict.fromkeys(sizes))) for name, sizes in values.items()]
    return Sampler(
        model, settings.parsed_inputs(), grid.model_args, requests, settings.tracing, training=False,
        autocast=settings.casting(), prepare=settings.prepared,
    )  # fmt: skip
