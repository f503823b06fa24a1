"""Joins a user's table, such as one of accuracies, to a comparison of models.

The table is a CSV file with a column `model`. If sizes vary, columns named after them also select the row.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from cnncost.budget.compare import COLUMNS, Compared, dominates
from cnncost.errors import InputError
from cnncost.near import suggestion

Value: TypeAlias = "int | float | str | None"
_MODEL = "model"
_MISSING = frozenset({"", "-", "–", "—", "?", "n/a", "na", "nan", "none", "null"})
"""Texts of cells that count as empty, in lower case."""
_LESS_IS_BETTER = frozenset(
    "err error errors loss perplexity ppl wer cer rmse mse mae fid latency seconds time ms eer nll".split()
)
"""Words in column names that mean that less is better."""
_MAX_LISTED = 6
"""Maximum number of names that a note lists."""


class Table(NamedTuple):
    """The user's table.

    Attributes:
        path: path of its file.
        columns: names of the columns in order, without `model`.
        rows: (line in the file, model, values by column) for each row.
    """

    path: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, str, dict[str, Value]], ...]


class Quality(NamedTuple):
    """The joined column that is one axis of the Pareto front; the other axis is MACs.

    Attributes:
        column: name of the column.
        more: whether larger values are better.
    """

    column: str
    more: bool

    @property
    def words(self) -> str:
        """The column and its better direction, such as `top1 (more is better)`."""
        return f"{self.column} ({'more' if self.more else 'less'} is better)"


class Joined(NamedTuple):
    """A comparison whose rows hold the table's values, in `Compared.joined`.

    Attributes:
        rows: the models. With `quality`, the Pareto front is that of its column and MACs; else it is unchanged.
        columns: the joined columns.
        quality: the column that the front is about; None if the table has no numbers.
        notes: sentences on names that match nothing and, without `quality`, on sizes that the table has no column for.
        no_front: why no model is on the front, if the table has no column for a size that varies; else empty.
    """

    rows: tuple[Compared, ...]
    columns: tuple[str, ...]
    quality: Quality | None
    notes: tuple[str, ...]
    no_front: str = ""


def read(path: str | Path) -> Table:
    """Read a table.

    Raises:
        InputError: the file can't be read; is not CSV with a column `model` and at least one other; has a column twice,
            a row without a model, a row with more cells than columns, or a column that mixes numbers with and without
            `%`. If a row is wrong, the message gives its line.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file)
            rows_by_line = [(lines.line_num, [cell.strip() for cell in row]) for row in lines]
    except (OSError, ValueError) as error:  # UnicodeDecodeError, and a path with a null character
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{path}: can't be read: {reason}; expected CSV with a column model") from None
    except csv.Error as error:
        raise InputError(f"{path}: not CSV: {error}; expected CSV with a column model") from None
    rows_by_line = [(line, row) for line, row in rows_by_line if any(row)]
    if not rows_by_line:
        raise InputError(f"{path}: empty; expected CSV with a column model and others, such as model,top1")
    (_, head), *body = rows_by_line
    names = [_MODEL if name.lower() == _MODEL else name for name in head]
    if _MODEL not in names:
        got = ", ".join(head)[:80]
        raise InputError(f"{path}: expected a column named model, and commas between columns; got {got}")
    duplicate = next((name for name in names if names.count(name) > 1), None)
    if duplicate is not None or len(names) < 2:
        wrong = "no column besides model" if duplicate is None else f"two columns named {duplicate!r}"
        raise InputError(f"{path}: {wrong}; expected CSV such as model,top1")
    rows, percents = [], dict[str, tuple[bool, int]]()
    for line, cells in body:
        if len(cells) > len(names):
            raise InputError(f"{path}:{line}: expected {len(names)} cells, got {len(cells)}")
        values = dict(zip(names, [*cells, *[""] * (len(names) - len(cells))], strict=True))
        model = values.pop(_MODEL)
        if not model:
            raise InputError(f"{path}:{line}: expected the name of a model, got an empty cell")
        rows.append((line, model, {name: _value(text) for name, text in values.items()}))
        _check_percents(path, line, values, percents)
    return Table(str(path), tuple(name for name in names if name != _MODEL), tuple(rows))


def _check_percents(path: str | Path, line: int, values: dict[str, str], percents: dict[str, tuple[bool, int]]) -> None:
    """Raise InputError if a column has numbers with `%` and numbers without it, so that their unit is unclear.

    Args:
        path: path of the table.
        line: line of the row.
        values: the row's cells, by column.
        percents: for each column, whether its first number has a `%`, and that number's line; updated in place.
    """
    for name, text in values.items():
        if not isinstance(_value(text), int | float):
            continue
        in_percent, first = percents.setdefault(name, (text.endswith("%"), line))
        if in_percent is not text.endswith("%"):
            raise InputError(
                f"{path}:{line}: column {name}: {text}, but line {first} is {'in' if in_percent else 'not in'} %; "
                "use one unit for the whole column"
            )


def _value(text: str) -> Value:
    """Parse a cell: a number with or without `%`, or a string; None if it is empty."""
    if text.lower() in _MISSING:
        return None
    number = text.removesuffix("%").strip()
    if re.fullmatch(r"[+-]?\d{1,18}", number):
        return int(number)
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?", number):
        return float(number)
    return text


def join(rows: Sequence[Compared], table: Table, quality: str | None = None) -> Joined:
    """Join a table to the models of a comparison by name, and mark the Pareto front of a column and MACs.

    Args:
        rows: the comparison.
        table: the user's table.
        quality: the column whose Pareto front with MACs to mark; `-COLUMN`: less is better. None: the first column with
            numbers.

    Raises:
        InputError: the table has two rows for one model, a column that the comparison also has, or no row that matches
            a model; or it has no column named `quality`, or one whose values are not all numbers.
    """
    sizes = [name for name in dict.fromkeys(name for row in rows for name, _ in row.sizes) if name in table.columns]
    columns = tuple(name for name in table.columns if name not in sizes)
    varied = {f"vary_{name}" for row in rows for name, _ in row.sizes}  # names of columns in CSV and JSON
    conflict = next((name for name in columns if name in COLUMNS | varied), None)
    if conflict is not None:
        raise InputError(f"{table.path}: a column named {conflict}: the comparison has its own; rename the column")
    by_key = _by_key(table, sizes)
    used: Counter[tuple[Any, ...]] = Counter()
    joined, without_row = [], []
    for row in rows:
        row_sizes = dict(row.sizes)
        # the table may name a model with its sizes or without them
        keys = [(name, *[row_sizes.get(size) for size in sizes]) for name in dict.fromkeys((row.name, row.model))]
        key = next((key for key in keys if key in by_key), None)
        if key is None:
            without_row.append(row.name)
        else:
            used[key] += 1
        values = by_key.get(key, {}) if key is not None else {}
        joined.append(row._replace(joined=tuple((name, values.get(name)) for name in columns)))
    if not used:
        names = list(dict.fromkeys(model for _, model, _ in table.rows))
        hint = suggestion(rows[0].name, names) or f"; it has {_few(names) or 'no rows'}"
        raise InputError(f"{table.path}: no row for {_few([row.name for row in rows])}{hint}")
    unused = [", ".join(map(str, key)) for key in by_key if key not in used]
    notes = [f"{table.path} has no row for {_few(without_row)}"] if without_row else []
    notes += [f"{table.path}: rows that match no model: {_few(unused)}"] if unused else []
    chosen = _quality(table, columns, joined, quality)
    unknown = _sizes_without_column(table, rows) if max(used.values()) > 1 else ""
    no_front = f"{unknown}, so no model is on the Pareto front" if unknown and chosen is not None else ""
    if chosen is not None:
        joined = [row._replace(front=False) for row in joined] if no_front else _with_front(joined, chosen)
    elif unknown:
        notes.append(unknown)
    return Joined(tuple(joined), columns, chosen, tuple(notes), no_front)


def _sizes_without_column(table: Table, rows: Sequence[Compared]) -> str:
    """Return a sentence on the varied sizes for which the table has no column; empty if it has them all.

    Without such a column, one row of the table is joined to figures at several sizes.
    """
    varied = dict.fromkeys(name for row in rows for name, _ in row.sizes if name not in table.columns)
    return f"{table.path} has no column {_few([*varied])}: one row applies to all of its values" if varied else ""


def _by_key(table: Table, sizes: list[str]) -> dict[tuple[Any, ...], dict[str, Value]]:
    """Return the values of each row by its model and sizes. Raises InputError if two rows agree in these."""
    values_by_key: dict[tuple[Any, ...], dict[str, Value]] = {}
    lines: dict[tuple[Any, ...], int] = {}
    for line, model, values in table.rows:
        key = (model, *[values[size] for size in sizes])
        if key in values_by_key:
            named = ", ".join(map(str, key))
            raise InputError(
                f"{table.path}:{line}: a second row for {named} (the first is line {lines[key]}); keep one"
            )
        values_by_key[key], lines[key] = values, line
    return values_by_key


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_MAX_LISTED]) + (
        f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    )


def _quality(table: Table, columns: Sequence[str], rows: Sequence[Compared], requested: str | None) -> Quality | None:
    """Return the requested column for the Pareto front, or the first one with numbers by default; None without one."""
    values = {name: [value for row in rows if (value := dict(row.joined)[name]) is not None] for name in columns}
    numeric = [name for name in columns if values[name] and not any(isinstance(each, str) for each in values[name])]
    if requested is None:
        return Quality(numeric[0], not less_is_better(numeric[0])) if numeric else None
    name = requested if requested in columns else requested.removeprefix("-")
    if name not in columns:
        hint = suggestion(name, columns) or f"; it has {_few(columns)}"
        raise InputError(f"{table.path}: no column named {name!r}{hint}")
    if name not in numeric:
        text = next((each for each in values[name] if isinstance(each, str)), None)
        wrong = "nothing for these models" if text is None else repr(text[:40])
        raise InputError(f"{table.path}: column {name}: expected numbers, got {wrong}")
    return Quality(name, name == requested and not less_is_better(name))


def less_is_better(name: str) -> bool:
    """Return whether the name of a column means that less is better."""
    return any(word in _LESS_IS_BETTER for word in re.split(r"[^a-z]+", name.lower()))


def _with_front(rows: Sequence[Compared], quality: Quality) -> list[Compared]:
    """Return the rows, marking those on the Pareto front of quality and MACs; unchanged if batch sizes differ."""
    if len({row.batch for row in rows}) > 1:
        return list(rows)
    sign = -1 if quality.more else 1
    costs = [
        None if (value := dict(row.joined)[quality.column]) is None else (row.macs, sign * value) for row in rows
    ]  # fmt: skip
    known = [each for each in costs if each is not None]
    return [
        row._replace(front=own is not None and not any(dominates(other, own) for other in known))
        for row, own in zip(rows, costs, strict=True)
    ]
