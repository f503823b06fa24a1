"""`cnncost.sweep`: analyzes a grid of points and returns a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnncost.budget.join import Table as Joined
from cnncost.budget.join import read as read_csv
from cnncost.errors import CnncostError, InputError
from cnncost.files import check, write, write_bytes
from cnncost.sweeps import table as tables
from cnncost.sweeps.formats import FILES
from cnncost.sweeps.grid import MOST, Grid
from cnncost.sweeps.journal import Journal, journal_path
from cnncost.sweeps.processes import Processes
from cnncost.sweeps.read import from_data
from cnncost.sweeps.run import rows
from cnncost.sweeps.stamp import stamp
from cnncost.sweeps.work import prepared_for
from cnncost.sweeps.worker_pool import WorkerPool

if TYPE_CHECKING:
    import pandas as pd

_MODELS_CHECKED = 3
"""Number of models for which the grid's axes are checked before the sweep begins."""
_FEW_MODELS = 8
"""Fewer models than this (times dtypes) run in this process: importing torch in another would take longer."""
Progress = Callable[[int, str], None]
"""Function called with the index and the model of each finished point."""


def sweep(
    models: str | Sequence[str], grid: Mapping[str, Any] | None = None, *, jobs: int | None = None,
    output: str | Path | None = None, join: str | Path | None = None, backend: str = "processes",
    scheduler: str | None = None, confirmed: bool = False, timeout: float | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Return the costs of many models at many sizes, one row per point; a point that fails is a row with its error.

    Args:
        models: names as for `analyze`, or patterns of names: `"timm:resnet*"`, `"lenet*"`.
        grid: what varies, and which columns to compute: `batch`, `input_size`, `vary`, `dtype`, `device`, `columns`,
            `input`, `model_args`, `autocast`, `trace`. For example `{"batch": [1, 8], "input_size": [160, "192x224"]}`.
        jobs: number of processes, or of simultaneous tasks on a cluster. None: one process for each core (this process
            alone if there are few models), or all of the cluster's workers.
        output: a file to write, in the format of its ending. An interrupted sweep with an output can be resumed.
        join: a CSV file with a column `model`, whose other columns, such as accuracies, are added.
        backend: "processes", "dask" or "ray".
        scheduler: address of the Dask scheduler or Ray cluster.
        confirmed: must be set for a grid of more than a million points.
        timeout: wall-clock limit for a point in seconds. A point that takes longer is a row with this error, and its
            process is killed; if the sweep is resumed with a higher limit, the point is tried again. None: no limit.

    Raises:
        CnncostError: a name matches nothing, none of the first models has the axes that vary, the grid is too large,
            the scheduler can't be reached, the output can't be written, or its journal is that of another sweep.
    """
    named = [models] if isinstance(models, str) else list(models)
    found = run(
        from_data(named, grid or {}), jobs=jobs, output=output, join=join, backend=backend, scheduler=scheduler,
        confirmed=confirmed, timeout=timeout,
    )  # fmt: skip
    return tables.frame(found)


def run(
    grid: Grid, *, jobs: int | None = None, output: str | Path | None = None, join: str | Path | None = None,
    backend: str = "processes", scheduler: str | None = None, confirmed: bool = False, timeout: float | None = None,
    progress: Progress | None = None, write_table: Callable[[tables.Table], None] | None = None,
) -> tables.Table:  # fmt: skip
    """Return the table of a grid. Raises like `sweep`.

    Args:
        grid: what to analyze.
        jobs: as for `sweep`.
        output: as for `sweep`.
        join: as for `sweep`.
        backend: as for `sweep`.
        scheduler: as for `sweep`.
        confirmed: as for `sweep`.
        timeout: as for `sweep`.
        progress: called for each finished point, including points found in the journal of an earlier run.
        write_table: writes the table; None: it is written to `output` in the format of its ending.
    """
    if len(grid) > MOST and not confirmed:
        raise InputError(
            f"sweep: the grid has {len(grid):,} points, more than {MOST:,}; if this is intended, confirm it with --yes "
            "(confirmed=True in Python), otherwise leave out sizes or models"
        )
    user_table = None if join is None else _read_joined(grid, join)
    if output is not None:
        check(output)
        tables.check_format(output)
        FILES.of_file(output)
    progress = progress or (lambda _point, _model: None)
    if jobs is None and backend == "processes" and len(grid.models) * len(grid.dtypes) < _FEW_MODELS:
        jobs = 1
    with WorkerPool(backend, scheduler, jobs, timeout, prepared_for(grid.models)) as pool:
        if output is None:
            _check_axes(grid, timeout)
            return tables.table(grid, _collected(grid, pool, None, progress), user_table)
        with Journal(journal_path(output), grid.digest(*stamp(grid.models))) as journal:
            if not journal.found:
                _check_or_remove(grid, journal, timeout)
            result = tables.table(grid, _collected(grid, pool, journal, progress), user_table)
            (write_table or (lambda table: save(table, output)))(result)
            journal.remove()
    return result


def save(result: tables.Table, output: str | Path) -> None:
    """Write a table to a file, in the format of its ending. Raises OutputError."""
    form = FILES.of_file(output)
    if form == "parquet":
        write_bytes(output, tables.to_parquet(result))
    elif form == "jsonl":
        write(output, tables.to_jsonl(result))
    else:
        from cnncost.render.formats import rendered
        from cnncost.sweeps import page

        document = (page.page if form == "html" else tables.document)(result)
        write(output, rendered(document, form).rstrip("\n") + "\n")


def _collected(grid: Grid, pool: WorkerPool, journal: Journal | None, progress: Progress) -> dict[int, dict[str, Any]]:
    """Return the row of each point by index: from the journal, or else analyzed and added to the journal."""
    found = {} if journal is None else journal.found
    for index in [index for index, row in found.items() if _has_more_time(row, pool.timeout)]:
        del found[index]
    names = grid.models
    points_per_model = len(grid.dtypes) * grid.combinations
    for index in found:
        progress(index, names[index // points_per_model])
    for index, row in rows(grid, set(found), pool):
        if journal is not None:
            journal.add(index, row)
        found[index] = row
        progress(index, names[index // points_per_model])
    return found


def _has_more_time(row: dict[str, Any], timeout: float | None) -> bool:
    """Return whether a point in the journal exceeded the time limit, and the limit is higher now."""
    return "late" in row and (timeout is None or timeout > row["late"])


def _check_or_remove(grid: Grid, journal: Journal, timeout: float | None) -> None:
    try:
        _check_axes(grid, timeout)
    except CnncostError:
        journal.remove()
        raise


def _check_axes(grid: Grid, timeout: float | None) -> None:
    """Check as `_axes_fit` does; with a time limit, in another process, because building a model may hang, too."""
    if timeout is None or not grid.axes:
        _axes_fit(grid)
        return
    with Processes(1, timeout, prepared_for(grid.models)) as one:
        for _ in one.work(_axes_fit, [[(grid,)]]):  # one task with one call
            pass  # if the check is killed, the rows will say why


def _axes_fit(grid: Grid) -> None:
    """Check that one of the first models has all axes that vary. Raises InputError if none has.

    Nothing is raised if a model can't be built: its rows will say why.
    """
    from cnncost.sweeps.work import sampler_of

    if not grid.axes:
        return
    first: CnncostError | None = None
    for model in grid.models[:_MODELS_CHECKED]:
        try:
            sampler_of(grid, model, None)
        except CnncostError as error:
            if not isinstance(error, InputError) and not _builds_without_axes(grid, model):
                return  # its rows will say why
            first = first or InputError(f"sweep: {model}: {error}")
        else:
            return
    if first is not None:
        raise first


def _builds_without_axes(grid: Grid, model: str) -> bool:
    """Return whether a model can be built without the axes that vary; if so, they caused its error."""
    from cnncost.sweeps.work import sampler_of

    try:
        sampler_of(replace(grid, axes=()), model, None)
    except CnncostError:
        return False
    return True


def _read_joined(grid: Grid, path: str | Path) -> Joined:
    """Read the user's CSV file.

    Raises:
        InputError: a model has two rows, a column has the name of one of the sweep's own, or no row is for a model of
            the sweep.
    """
    user_table = read_csv(path)
    names = [model for _, model, _ in user_table.rows]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{path}: more than one row for {twice}; keep one")
    taken = {column.name for column in tables.columns(grid)}
    if same := next((name for name in user_table.columns if name in taken), None):
        raise InputError(f"{path}: column {same}: the sweep has a column of this name itself; rename yours")
    if not set(names) & set(grid.models):
        raise InputError(f"{path}: no row for any model of the sweep, such as {grid.models[0]}")
    return user_table
