"""Analyzes the models of a budget file, one after another or in several processes."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import chdir, nullcontext
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from cnncost.analysis import analyze, recorded, reported
from cnncost.budget.file import Budget
from cnncost.budget.globs import matching
from cnncost.budget.quantities import Direction, Value
from cnncost.budget.snapshot import SUMMED, Snapshot, of_report
from cnncost.cache.recordings import active
from cnncost.endings import end_with_parent
from cnncost.errors import CnncostError
from cnncost.garbage import gc_disabled
from cnncost.near import suggestion
from cnncost.report.model import Report
from cnncost.report.rows import Module
from cnncost.sources.find import find, is_built_by_code

if TYPE_CHECKING:
    from cnncost.budget.lock import Lock
    from cnncost.recording import Recording

Key: TypeAlias = "tuple[str, str, Direction]"
"""Module path (`""` for the model), quantity, and direction. For a quantity with several values, such as a receptive
field with one per axis, the direction says whether the limit is on the largest (`<=`) or the smallest (`>=`)."""


class Measured(NamedTuple):
    """The result of analyzing a budget's model.

    Attributes:
        name: the budget's name.
        snapshot: the model's figures; None if the analysis failed.
        values: figures of all limited quantities.
        paths: the paths of the modules that match each limit's glob, by glob.
        unsure: paths of modules whose figures leave out an op without a rule; `""` is the model.
        unknown: ops without a rule, and how often each ran.
        error: why the analysis failed; empty if it did not.
        unseen: ops whose temporaries are unknown, if a limit depends on them.
    """

    name: str
    snapshot: Snapshot | None = None
    values: dict[Key, Value] = {}  # noqa: RUF012  # never written to
    paths: dict[str, tuple[str, ...]] = {}  # noqa: RUF012
    unsure: frozenset[str] = frozenset()
    unknown: dict[str, int] = {}  # noqa: RUF012
    error: str = ""
    unseen: tuple[str, ...] = ()


def measure_all(budgets: Sequence[Budget], folder: Path, jobs: int | None = None) -> list[Measured]:
    """Analyze the models, in the order of the budgets. Failures are returned, not raised.

    Args:
        budgets: the budgets to measure.
        folder: the budget file's folder, which is the working folder of the analyses.
        jobs: number of processes; None: one, and several if that takes long.

    Raises:
        CnncostError: a process died.
    """
    cached = _from_cache(budgets, str(folder))
    analyzed = iter(_analyze_all([budget for budget in budgets if budget.name not in cached], folder, jobs))
    return [cached.get(budget.name) or next(analyzed) for budget in budgets]


def _analyze_all(budgets: Sequence[Budget], folder: Path, jobs: int | None) -> list[Measured]:
    if not budgets:
        return []
    measure_one = partial(measure, folder=str(folder))
    if jobs is not None:
        return _in_processes(measure_one, budgets, jobs)
    _import_torch()  # before the clock starts
    measured: list[Measured] = []
    start = monotonic()
    for done, budget in enumerate(budgets):
        if monotonic() - start > _WORTH_FORKING and len(budgets) - done > 1:
            return measured + _in_processes(measure_one, budgets[done:], _cores())
        measured.append(measure_one(budget))
    return measured


_WORTH_FORKING = 0.5
"""Seconds after which several processes analyze the remaining models; starting these takes about half as long."""


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


def _in_processes(measure_one: Callable[[Budget], Measured], budgets: Sequence[Budget], jobs: int) -> list[Measured]:
    """Analyze the models in `jobs` processes, or in this one if the system has no `fork`."""
    jobs = min(jobs, len(budgets))
    if jobs <= 1 or "fork" not in multiprocessing.get_all_start_methods():
        return [measure_one(budget) for budget in budgets]
    _import_torch()  # once, before forking
    try:
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(jobs, context, end_with_parent, (os.getpid(),)) as pool:
            return list(pool.map(measure_one, budgets))
    except BrokenProcessPool:
        raise CnncostError(
            "a process that analyzed a model died, perhaps out of memory; analyze one model at a time with --jobs 1"
        ) from None


def _import_torch() -> None:
    """Import torch; if there is a cache, it observes which files the import reads."""
    cache = active()
    with cache.observed() if cache is not None else nullcontext():
        import_module("cnncost.frontends.torch")


def _from_cache(budgets: Sequence[Budget], folder: str) -> dict[str, Measured]:
    """Return the results for budgets whose recordings are in the cache, by name."""
    measured: dict[str, Measured] = {}
    if (cache := active()) is None:
        return measured
    with chdir(folder):
        for budget in budgets:
            if _can_be_cached(budget) and (recording := cache.find(budget.model, _run_settings(budget))) is not None:
                try:
                    measured[budget.name] = of_budget(budget, reported(recording))
                except CnncostError as error:
                    measured[budget.name] = Measured(budget.name, error=str(error))
    return measured


def _can_be_cached(budget: Budget) -> bool:
    return active() is not None and budget.trace != "real" and is_built_by_code(budget.model)


def _run_settings(budget: Budget) -> dict[str, Any]:
    """Return the settings of a budget's run as plain data, which is part of the recording's cache key."""
    return {
        "inputs": budget.inputs, "model_args": budget.model_args, "name": budget.name, "training": budget.training,
        "trace": budget.trace,
    }  # fmt: skip


def measure(budget: Budget, folder: str = ".") -> Measured:
    """Analyze one model; a failure is returned in `error`, not raised."""
    try:
        with chdir(folder):
            return of_budget(budget, report_for(budget))
    except CnncostError as error:
        return Measured(budget.name, error=str(error))


def report_for(budget: Budget) -> Report:
    """Analyze a budget's model, or take its recording from the cache.

    Raises:
        CnncostError: as `cnncost.analyze` does.
    """
    from cnncost.shapes import parse_inputs
    from cnncost.sources.resolve import resolve

    inputs = parse_inputs(budget.inputs) if budget.inputs else None
    if (cache := active()) is not None and _can_be_cached(budget):

        def record() -> Recording:
            # (loss, optimizer, set_to_none): the default loss and no optimizer
            step = (None, None, True) if budget.training else None
            return recorded(resolve(budget.model, inputs, budget.model_args), budget.name, budget.trace, step)

        return reported(cache.make(budget.model, _run_settings(budget), record))
    source = find(budget.model)
    if source.saved:
        return analyze(source)
    return analyze(
        source, inputs, model_args=budget.model_args, name=budget.name, training=budget.training, trace=budget.trace
    )


class Figures(NamedTuple):
    """The figures of several budgets' models, as a baseline stores them, and why some models have none.

    Attributes:
        lock: a baseline with the models' figures. Totals include `inference_peak` and, if the budget limits a training
            step, `training_peak`.
        errors: messages of the analyses that failed, by the budget's name.
        notes: notes for the user.
    """

    lock: Lock
    errors: dict[str, str]
    notes: tuple[str, ...] = ()


def figures(budgets: Sequence[Budget], folder: str) -> Figures:
    """Analyze the models of budgets. A limit on a module or figure that the model lacks is skipped; it is no error."""
    from cnncost.budget.lock import Entry, Lock, torch_version

    models: dict[str, Entry] = {}
    errors: dict[str, str] = {}
    for budget in budgets:
        try:
            with chdir(folder):
                report = report_for(budget)
                snapshot = of_report(report, _peaks(report))
                models[budget.name] = Entry(snapshot, stored_values(_values_of_existing_modules(budget, report)))
        except CnncostError as error:
            errors[budget.name] = str(error)
    return Figures(Lock(torch_version(), models), errors)


def _peaks(report: Report) -> dict[str, int]:
    """Return the bytes at each peak that was analyzed, by name."""
    memory = report.memory.figures
    peaks = {"inference_peak": memory.inference_peak, "training_peak": memory.training_peak}
    return {name: value for name, value in peaks.items() if value is not None}


def _values_of_existing_modules(budget: Budget, report: Report) -> dict[Key, Value]:
    """Return the limited figures; limits on modules or figures that the model lacks are skipped."""
    values: dict[Key, Value] = {}
    for rule in budget.rules:
        try:
            values |= of_budget(replace(budget, rules=(rule,)), report).values
        except CnncostError:
            continue
    return values


def stored_values(values: dict[Key, Value]) -> dict[str, dict[str, Value]]:
    """Return the limited figures that a baseline stores besides those in `SUMMED`, by quantity and path."""
    stored: dict[str, dict[str, Value]] = {}
    for (path, quantity, _), value in sorted(values.items(), key=lambda item: item[0]):
        if quantity not in SUMMED and quantity not in _NOT_STORED:
            stored.setdefault(quantity, {})[path] = value
    return stored


_NOT_STORED = frozenset({"unknown_ops", "arithmetic_intensity"})
"""A limit on `unknown_ops` can't be relative to a baseline; the intensity follows from the stored FLOPs and bytes."""


@gc_disabled()
def of_budget(budget: Budget, report: Report) -> Measured:
    """Read all figures that a budget limits from a Report.

    Raises:
        CnncostError: a glob matches no module, or the Report has no such figure.
    """
    rows = {module.path: module for module in report.modules}
    paths = {rule.glob: _modules_matching(rule.glob, rows) for rule in budget.rules if rule.glob is not None}
    values: dict[Key, Value] = {}
    for rule in budget.rules:
        direction = rule.limit.direction
        for path in paths[rule.glob] if rule.glob is not None else ("",):
            values[path, rule.quantity.name, direction] = rule.quantity.read(report, rows[path], direction)
    unsure = frozenset(path for path, row in rows.items() if row.unknown)
    of_memory = any(rule.quantity.temporaries for rule in budget.rules)
    unseen = report.memory.figures.unseen if of_memory else ()
    snapshot = replace(of_report(report), unseen=bool(unseen))  # a baseline also has to tell that its peaks are bounds
    return Measured(budget.name, snapshot, values, paths, unsure, report.unknown, unseen=unseen)


def _modules_matching(glob: str, rows: dict[str, Module]) -> tuple[str, ...]:
    paths = tuple(matching(glob, rows))
    if not paths:
        near = suggestion(glob, [path for path in rows if path])
        raise CnncostError(f"modules {glob!r}: no module of the model matches{near}")
    return paths
