"""The table of a sweep: its columns and rows, and its output formats."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cnncost import units
from cnncost.errors import MissingPackageError
from cnncost.render.document import COMPACT, Cell, Column, Document, Narrowing, Note, Notes, Row
from cnncost.render.document import Table as TablePart
from cnncost.render.values import Kind
from cnncost.sweeps.figures import FIGURES
from cnncost.sweeps.grid import Grid

if TYPE_CHECKING:
    import pandas as pd

    from cnncost.budget.join import Table as Joined

_LAST_COLUMNS = (
    Column(
        "lower_bound",
        "lower bounds",
        shown="data",
        meaning="columns whose figures are lower bounds: ops without a rule, or temporaries, are missing",
    ),
    Column("trace", "trace", meaning="real: forward was run on values, on which the figures depend"),
    Column("note", "note", least=20, meaning="why a column is empty"),
    Column("error", "error", least=20, meaning="why the row has no figures"),
)


class Table(NamedTuple):
    """A sweep's result.

    Attributes:
        grid: the grid.
        columns: the columns, in order.
        rows: for each point, in the order of the grid, one value per column; None if there is none.
    """

    grid: Grid
    columns: tuple[Column, ...]
    rows: list[tuple[Any, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def failed(self) -> int:
        """Number of rows with an error."""
        at = self.names.index("error")
        return sum(row[at] is not None for row in self.rows)

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield each row as a dict by column name."""
        for row in self.rows:
            yield dict(zip(self.names, row, strict=True))


def columns(grid: Grid, user_table: Joined | None = None) -> tuple[Column, ...]:
    """Return the columns: the model, what varies, the figures, columns joined from the user's CSV, and remarks."""
    varied: list[Column] = [Column(name, name, "number") for name in _size_columns(grid)]
    dtype = [Column("dtype", "dtype")] if grid.dtypes != (None,) else []
    figures = [Column(name, FIGURES[name].heading, FIGURES[name].kind, meaning=FIGURES[name].meaning)
               for name in grid.columns]  # fmt: skip
    weights = [Column("accuracy_of", "of weights")] if "accuracy" in grid.columns else []
    seconds = [Column(f"seconds_{name}", f"on {name}", "seconds", meaning=f"seconds of a forward on {name}, predicted")
               for name in grid.devices]  # fmt: skip
    joined = [Column(name, name, _kind([values[name] for _, _, values in user_table.rows]))
              for name in user_table.columns] if user_table else []  # fmt: skip
    return (
        Column("model", "model", least=40), *dtype, *varied, Column("input", "input", shown="data"),
        *figures, *weights, *seconds, *joined, *_LAST_COLUMNS,
    )  # fmt: skip


def _kind(values: Sequence[Any]) -> Kind:
    """Return how a joined column is shown: as text if any value is a string, otherwise as unrounded numbers."""
    return "text" if any(isinstance(value, str) for value in values) else "figure"


def _size_columns(grid: Grid) -> tuple[str, ...]:
    """Return the column names of the sizes that vary; a name that is already taken gets the prefix `vary_`."""
    taken = {"model", "dtype", "input", "accuracy_of", *FIGURES, *(column.name for column in _LAST_COLUMNS)}
    taken |= {f"seconds_{name}" for name in grid.devices}
    return tuple(f"vary_{name}" if name in taken else name for name in grid.variables)


def table(grid: Grid, found: dict[int, dict[str, Any]], user_table: Joined | None = None) -> Table:
    """Return the table of all rows in the grid's order. Rows are removed from `found` to save memory."""
    named_columns = columns(grid, user_table)
    joined = {model: values for _, model, values in user_table.rows} if user_table else {}
    sizes, names, rows = _size_columns(grid), [column.name for column in named_columns], []
    for point in grid.points():
        values = {
            "model": point.model, "dtype": point.dtype, **dict(zip(sizes, point.sizes, strict=True)),
            **joined.get(point.model, {}), **found.pop(point.at),
        }  # fmt: skip
        rows.append(tuple(values.get(name) for name in names))
    return Table(grid, named_columns, rows)


def frame(result: Table) -> pd.DataFrame:
    """Return the table as a DataFrame; ints are `Int64`, which allows missing values."""
    import pandas as pd

    data = pd.DataFrame.from_records(result.rows, columns=list(result.names))
    for column in result.columns:
        if column.kind in {"count", "bytes"} or column.name in _size_columns(result.grid):
            data[column.name] = data[column.name].astype("Int64")
        elif column.kind == "seconds" or column.name == "accuracy":
            data[column.name] = data[column.name].astype("float64")
        elif column.kind == "text":
            data[column.name] = data[column.name].astype("string")
    return data


def check_format(path: str | Path) -> None:
    """Check that the packages for a file's format are installed. Raises MissingPackageError if not."""
    from importlib.util import find_spec

    if Path(path).suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        raise MissingPackageError(f"{path}: Parquet needs the package pyarrow; pip install 'cnncost[parquet]'")


def to_jsonl(result: Table) -> str:
    """Return a JSON object for each row, one per line; missing values are null."""
    return "".join(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in result.records())


def to_parquet(result: Table) -> bytes:
    """Return the table as the bytes of a Parquet file."""
    out = io.BytesIO()
    frame(result).to_parquet(out, index=False)
    return out.getvalue()


def document(result: Table) -> Document:
    """Return the table as a document, for all other formats; empty columns are shown in CSV and JSON only."""
    used = [any(row[i] is not None for row in result.rows) for i in range(len(result.columns))]
    shown = tuple(
        column if is_used else column._replace(shown="data")
        for column, is_used in zip(result.columns, used, strict=True)
    )  # fmt: skip
    at = result.names.index("trace")
    if all(row[at] != "real" for row in result.rows):
        shown = (*shown[:at], shown[at]._replace(shown="data"), *shown[at + 1 :])
    bounds = used[result.names.index("lower_bound")]
    models, points = len(result.grid.models), len(result.rows)
    title = f"{units.counted(models, 'model')}, {units.counted(points, 'row')}"
    bound = Note("≥ marks lower bounds: ops without a rule, or unknown temporaries, are missing", sign="≥")
    words = [f"{column.heading}: {column.meaning}" for column in shown if column.meaning and column.shown == "all"]
    return Document(
        "sweep", title, facts={"models": models, "failed": result.failed},
        parts=(
            TablePart(shown, tuple(_marked(result) if bounds else map(Row, result.rows)), "rows", narrowing=_NARROWING),
            Notes((bound, *map(Note, words))),
        ),
    )  # fmt: skip


_NARROWING = (COMPACT, Narrowing(gap=1), Narrowing(least=(("model", 24),)), Narrowing(least=(("model", 12),)))
"""Ways to make the table narrower, applied in order until it fits the terminal."""


def _marked(result: Table) -> Iterator[Row]:
    """Yield the rows, with `≥` before lower bounds."""
    at = result.names.index("lower_bound")
    for row in result.rows:
        bounds = set((row[at] or "").split())
        cells = zip(result.names, row, strict=True)
        yield Row(tuple(Cell(value, "≥") if name in bounds and value is not None else value for name, value in cells))
