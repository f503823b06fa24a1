"""`cnncost.sweep`: a grid analyzed, as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnncost.budget.join import Table as Joined
from cnncost.budget.join import read as read_own
from cnncost.errors import CnncostError, InputError
from cnncost.files import check, write, write_bytes
from cnncost.sweeps import table as tables
from cnncost.sweeps.crew import Crew
from cnncost.sweeps.formats import FILES
from cnncost.sweeps.grid import MOST, Grid
from cnncost.sweeps.journal import Journal, beside
from cnncost.sweeps.processes import Processes
from cnncost.sweeps.read import from_data
from cnncost.sweeps.run import rows
from cnncost.sweeps.stamp import stamp
from cnncost.sweeps.work import prepared_for

if TYPE_CHECKING:
    import pandas as pd

_TRIED = 3
"""Models that an axis is looked for in before the work."""
_ALONE = 8
"""Fewer models than this are analyzed before another process has imported torch."""
Tell = Callable[[int, str], None]
"""Told the index of a point that is done, and its model."""


def sweep(
    models: str | Sequence[str], grid: Mapping[str, Any] | None = None, *, jobs: int | None = None,
    output: str | Path | None = None, join: str | Path | None = None, backend: str = "processes",
    scheduler: str | None = None, confirmed: bool = False, timeout: float | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Costs of many models at many sizes, a row for each; a model that fails is a row with its error.

    Args:
        models: names as for `analyze`, and patterns of names: `"timm:resnet*"`, `"lenet*"`.
        grid: what varies and what is wanted: `batch`, `input_size`, `vary`, `dtype`, `device`, `columns`, `input`,
            `model_args`, `autocast`, `trace`. `{"batch": [1, 8], "input_size": [160, "192x224"]}`.
        jobs: processes; None: as many as there are cores.
        output: a file to write, by its ending; an interrupted sweep with one is resumed.
        join: CSV with a column `model`, such as accuracies, whose other columns are added.
        backend: "processes", "dask" or "ray".
        scheduler: address of the Dask scheduler or Ray cluster.
        confirmed: that more than a million points are meant.
        timeout: seconds for a point, by the clock: one that takes longer is a row with that error, its process ended.
            A sweep that resumes with more of them tries it again. None: any.

    Raises:
        CnncostError: a name that matches nothing, an axis that no model has, a grid that is too large, a scheduler
            that can't be reached, an output that can't be written, or a journal of another grid beside it.
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
    tell: Tell | None = None, put: Callable[[tables.Table], None] | None = None,
) -> tables.Table:  # fmt: skip
    """The table of a grid. Raises as `sweep` does.

    Args:
        grid: what is asked for.
        jobs: as for `sweep`.
        output: likewise.
        join: likewise.
        backend: likewise.
        scheduler: likewise.
        confirmed: likewise.
        timeout: likewise.
        tell: told of each point that is done, of those of an earlier run, too.
        put: writes the table; None: to `output`, by its ending.
    """
    if len(grid) > MOST and not confirmed:
        raise InputError(
            f"sweep: the grid has {len(grid):,} points, more than {MOST:,}; if that is meant, confirm it by --yes "
            "(confirmed=True in Python), else leave out sizes or models"
        )
    own = None if join is None else _own(grid, join)
    if output is not None:
        check(output)
        tables.check_format(output)
        FILES.of_file(output)
    tell = tell or (lambda _point, _model: None)
    if jobs is None and backend == "processes" and len(grid.models) * len(grid.dtypes) < _ALONE:
        jobs = 1
    with Crew(backend, scheduler, jobs, timeout, prepared_for(grid.models)) as crew:
        if output is None:
            _check_axes(grid, timeout)
            return tables.table(grid, _found(grid, crew, None, tell), own)
        with Journal(beside(output), grid.digest(*stamp(grid.models))) as journal:
            if not journal.found:
                _check_or_remove(grid, journal, timeout)
            result = tables.table(grid, _found(grid, crew, journal, tell), own)
            (put or (lambda made: save(made, output)))(result)
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

        told = (page.page if form == "html" else tables.document)(result)
        write(output, rendered(told, form).rstrip("\n") + "\n")


def _found(grid: Grid, crew: Crew, journal: Journal | None, tell: Tell) -> dict[int, dict[str, Any]]:
    found = {} if journal is None else journal.found
    for index in [index for index, row in found.items() if _has_longer(row, crew.timeout)]:
        del found[index]
    names = grid.models
    of_model = len(grid.dtypes) * grid.of_model
    for index in found:
        tell(index, names[index // of_model])
    for index, row in rows(grid, set(found), crew):
        if journal is not None:
            journal.add(index, row)
        found[index] = row
        tell(index, names[index // of_model])
    return found


def _has_longer(row: dict[str, Any], timeout: float | None) -> bool:
    """Whether a row is of a point that took too long, and there is more time now."""
    return "late" in row and (timeout is None or timeout > row["late"])


def _check_or_remove(grid: Grid, journal: Journal, timeout: float | None) -> None:
    try:
        _check_axes(grid, timeout)
    except CnncostError:
        journal.remove()
        raise


def _check_axes(grid: Grid, timeout: float | None) -> None:
    """Check as `_axes_fit` does; with a limit of time in another process: building a model may hang, too."""
    if timeout is None or not grid.axes:
        _axes_fit(grid)
        return
    with Processes(1, timeout, prepared_for(grid.models)) as one:
        for _ in one.work(_axes_fit, [[(grid,)]]):
            pass  # of a check that did not end, the rows will say why


def _axes_fit(grid: Grid) -> None:
    """Check that a model has what varies. Raises InputError for a name that none of the first ones has."""
    from cnncost.sweeps.work import sampler_of

    if not grid.axes:
        return
    first: CnncostError | None = None
    for model in grid.models[:_TRIED]:
        try:
            sampler_of(grid, model, None)
        except CnncostError as error:
            if not isinstance(error, InputError) and not _builds(grid, model):
                return  # a row will say what is wrong
            first = first or InputError(f"sweep: {model}: {error}")
        else:
            return
    if first is not None:
        raise first


def _builds(grid: Grid, model: str) -> bool:
    """Whether a model can be built without what varies: then it is that which it does not take."""
    from cnncost.sweeps.work import sampler_of

    try:
        sampler_of(replace(grid, axes=()), model, None)
    except CnncostError:
        return False
    return True


def _own(grid: Grid, path: str | Path) -> Joined:
    """The user's table. Raises InputError for two rows of a model, a column that the sweep has, or no model of it."""
    own = read_own(path)
    names = [model for _, model, _ in own.rows]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{path}: a second row for {twice}; keep one")
    taken = {column.name for column in tables.columns(grid)}
    if same := next((name for name in own.columns if name in taken), None):
        raise InputError(f"{path}: a column named {same}: the sweep has one of its own; rename it")
    if not set(names) & set(grid.models):
        raise InputError(f"{path}: no row for any model of the sweep, such as {grid.models[0]}")
    return own
