"""The figures of the models of a budget file, analyzed one after the other or in several processes."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import chdir
from functools import partial
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import NamedTuple, TypeAlias

from cnncost.budget.file import Budget
from cnncost.budget.globs import matching
from cnncost.budget.quantities import Direction, Value
from cnncost.budget.snapshot import Snapshot, of_report
from cnncost.errors import CnncostError
from cnncost.near import suggestion
from cnncost.report.model import Report
from cnncost.report.rows import Module

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
    one = partial(measure, folder=str(folder))
    if jobs is not None:
        return _spread(one, budgets, jobs)
    import_module("cnncost.frontends.torch")  # exclude importing torch from the measured time
    found: list[Measured] = []
    start = monotonic()
    for done, budget in enumerate(budgets):
        if monotonic() - start > _WORTH_FORKING and len(budgets) - done > 1:
            return found + _spread(one, budgets[done:], _cores())
        found.append(one(budget))
    return found


_WORTH_FORKING = 0.5
"""Seconds after which the models that are left go to several processes: their start costs about half of it."""


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


def _spread(one: Callable[[Budget], Measured], budgets: Sequence[Budget], jobs: int) -> list[Measured]:
    """Analyze in `jobs` processes, or in this one where `fork` is not available."""
    jobs = min(jobs, len(budgets))
    if jobs <= 1 or "fork" not in multiprocessing.get_all_start_methods():
        return [one(budget) for budget in budgets]
    import_module("cnncost.frontends.torch")  # once, before forking
    try:
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork")) as pool:
            return list(pool.map(one, budgets))
    except BrokenProcessPool:
        raise CnncostError(
            "a process that analyzed a model died, perhaps for want of memory; run one at a time with --jobs 1"
        ) from None


def measure(budget: Budget, folder: str = ".") -> Measured:
    """Analyze one model."""
    try:
        with chdir(folder):
            return of_budget(budget, analyzed(budget))
    except CnncostError as error:
        return Measured(budget.name, error=str(error))


def analyzed(budget: Budget) -> Report:
    """The Report of a budget's model."""
    from cnncost.analysis import analyze
    from cnncost.shapes import parse_inputs
    from cnncost.sources.find import find

    source = find(budget.model)
    if source.saved:
        return analyze(source)
    inputs = parse_inputs(budget.inputs) if budget.inputs else None
    return analyze(
        source, inputs, model_args=budget.model_args, name=budget.name, training=budget.training, trace=budget.trace
    )


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
    found = tuple(matching(glob, rows))
    if not found:
        near = suggestion(glob, [path for path in rows if path])
        raise CnncostError(f"modules {glob!r}: the model has none of this name{near}")
    return found
