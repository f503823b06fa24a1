"""The figures of the models of a budget file, analyzed one after the other or in several processes."""

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
"""Module path (`""` for the model), quantity, and which end of several values."""


class Measured(NamedTuple):
    """What an analysis found for a budget; or `error`, why there is nothing.

    Attributes:
        snapshot: the model's figures.
        values: figures of all limited quantities.
        paths: the matching modules, by glob.
        unsure: paths of the modules, the model's `""` among them, that an op without a rule is missing from.
        unknown: ops without a rule and how often each ran.
    """

    name: str
    snapshot: Snapshot | None = None
    values: dict[Key, Value] = {}  # noqa: RUF012  # never written to
    paths: dict[str, tuple[str, ...]] = {}  # noqa: RUF012
    unsure: frozenset[str] = frozenset()
    unknown: dict[str, int] = {}  # noqa: RUF012
    error: str = ""


def measure_all(budgets: Sequence[Budget], folder: Path, jobs: int | None = None) -> list[Measured]:
    """Analyze the models, in the order of the budgets. Failures are returned, not raised.

    Args:
        budgets: the budgets to measure.
        folder: to which file names and packages are relative.
        jobs: number of processes; None: several if it takes long.

    Raises:
        CnncostError: a process died.
    """
    found = _from_cache(budgets, str(folder))
    made = iter(_measure_all([budget for budget in budgets if budget.name not in found], folder, jobs))
    return [found.get(budget.name) or next(made) for budget in budgets]


def _measure_all(budgets: Sequence[Budget], folder: Path, jobs: int | None) -> list[Measured]:
    if not budgets:
        return []
    one = partial(measure, folder=str(folder))
    if jobs is not None:
        return _spread(one, budgets, jobs)
    _import_torch()  # exclude it from the measured time
    measured: list[Measured] = []
    start = monotonic()
    for done, budget in enumerate(budgets):
        if monotonic() - start > _WORTH_FORKING and len(budgets) - done > 1:
            return measured + _spread(one, budgets[done:], _cores())
        measured.append(one(budget))
    return measured


_WORTH_FORKING = 0.5
"""Seconds after which the models that are left go to several processes: their start costs about half of it."""


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


def _spread(one: Callable[[Budget], Measured], budgets: Sequence[Budget], jobs: int) -> list[Measured]:
    """Analyze in `jobs` processes, or in this one where `fork` is not available."""
    jobs = min(jobs, len(budgets))
    if jobs <= 1 or "fork" not in multiprocessing.get_all_start_methods():
        return [one(budget) for budget in budgets]
    _import_torch()  # once, before forking
    try:
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork")) as pool:
            return list(pool.map(one, budgets))
    except BrokenProcessPool:
        raise CnncostError(
            "a process that analyzed a model died, perhaps for want of memory; run one at a time with --jobs 1"
        ) from None


def _import_torch() -> None:
    """Import it, as a part of what the recordings that follow depend on."""
    cache = active()
    with cache.observed() if cache is not None else nullcontext():
        import_module("cnncost.frontends.torch")


def _from_cache(budgets: Sequence[Budget], folder: str) -> dict[str, Measured]:
    """Those whose recordings are in the cache, by name."""
    found: dict[str, Measured] = {}
    if (cache := active()) is None:
        return found
    with chdir(folder):
        for budget in budgets:
            if _is_cached(budget) and (recording := cache.find(budget.model, _how(budget))) is not None:
                found[budget.name] = of_budget(budget, reported(recording))
    return found


def _is_cached(budget: Budget) -> bool:
    return active() is not None and budget.trace != "real" and is_built_by_code(budget.model)


def _how(budget: Budget) -> dict[str, Any]:
    """All that a budget says of a run, as plain data."""
    return {
        "inputs": budget.inputs, "model_args": budget.model_args, "name": budget.name, "training": budget.training,
        "trace": budget.trace,
    }  # fmt: skip


def measure(budget: Budget, folder: str = ".") -> Measured:
    """Analyze one model."""
    try:
        with chdir(folder):
            return of_budget(budget, analyzed(budget))
    except CnncostError as error:
        return Measured(budget.name, error=str(error))


def analyzed(budget: Budget) -> Report:
    """The Report of a budget's model."""
    from cnncost.shapes import parse_inputs
    from cnncost.sources.resolve import resolve

    inputs = parse_inputs(budget.inputs) if budget.inputs else None
    if (cache := active()) is not None and _is_cached(budget):

        def record() -> Recording:
            step = (None, None, True) if budget.training else None
            return recorded(resolve(budget.model, inputs, budget.model_args), budget.name, budget.trace, step)

        return reported(cache.make(budget.model, _how(budget), record))
    source = find(budget.model)
    if source.saved:
        return analyze(source)
    return analyze(
        source, inputs, model_args=budget.model_args, name=budget.name, training=budget.training, trace=budget.trace
    )


class Figures(NamedTuple):
    """Figures of several budgets' models, as a baseline has them; and why some have none.

    Attributes:
        lock: by name. Totals have `inference_peak`, and `training_peak` where the budget limits a training step.
        errors: by name.
    """

    lock: Lock
    errors: dict[str, str]


def figures(budgets: Sequence[Budget], folder: str) -> Figures:
    """The figures of budgets' models, limits aside: a module that a limit names may be missing."""
    from cnncost.budget.lock import Entry, Lock, torch_version

    models: dict[str, Entry] = {}
    errors: dict[str, str] = {}
    for budget in budgets:
        try:
            with chdir(folder):
                report = analyzed(budget)
                snapshot = of_report(report, _peaks(report))
                models[budget.name] = Entry(snapshot, kept(_if_there(budget, report)))
        except CnncostError as error:
            errors[budget.name] = str(error)
    return Figures(Lock(torch_version(), models), errors)


def _peaks(report: Report) -> dict[str, int]:
    """Bytes at the peaks, of those that were analyzed."""
    found = report.memory.figures
    named = {"inference_peak": found.inference_peak, "training_peak": found.training_peak}
    return {name: value for name, value in named.items() if value is not None}


def _if_there(budget: Budget, report: Report) -> dict[Key, Value]:
    """Values of the limits that the model has a module for."""
    found: dict[Key, Value] = {}
    for rule in budget.rules:
        try:
            found |= of_budget(replace(budget, rules=(rule,)), report).values
        except CnncostError:
            continue
    return found


def kept(values: dict[Key, Value]) -> dict[str, dict[str, Value]]:
    """What a baseline keeps of the values of limits: those that don't follow from its sums."""
    found: dict[str, dict[str, Value]] = {}
    for (path, quantity, _), value in sorted(values.items(), key=lambda item: item[0]):
        if quantity not in SUMMED and quantity not in _NOT_KEPT:
            found.setdefault(quantity, {})[path] = value
    return found


_NOT_KEPT = frozenset({"unknown_ops", "arithmetic_intensity"})
"""What a baseline does without: the one is of no use in it, the other follows from its sums."""


@gc_disabled()
def of_budget(budget: Budget, report: Report) -> Measured:
    """What a Report says of all that a budget limits.

    Raises:
        CnncostError: a glob names no module, or the Report has no such figure.
    """
    rows = {module.path: module for module in report.modules}
    paths = {rule.glob: _named(rule.glob, rows) for rule in budget.rules if rule.glob is not None}
    values: dict[Key, Value] = {}
    for rule in budget.rules:
        direction = rule.limit.direction
        for path in paths[rule.glob] if rule.glob is not None else ("",):
            values[path, rule.quantity.name, direction] = rule.quantity.read(report, rows[path], direction)
    unsure = frozenset(path for path, row in rows.items() if row.unknown)
    return Measured(budget.name, of_report(report), values, paths, unsure, report.unknown)


def _named(glob: str, rows: dict[str, Module]) -> tuple[str, ...]:
    paths = tuple(matching(glob, rows))
    if not paths:
        near = suggestion(glob, [path for path in rows if path])
        raise CnncostError(f"modules {glob!r}: the model has none of this name{near}")
    return paths
