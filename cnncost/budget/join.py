"""Joins a user's table, such as one of accuracies, to a comparison of models.

The table is CSV with a column `model`. If sizes vary, columns with their names select a row, too.
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
"""Texts of empty cells, in lower case."""
_LESS_IS_BETTER = frozenset(
    "err error errors loss perplexity ppl wer cer rmse mse mae fid latency seconds time ms eer nll".split()
)
"""Words in the names of columns in which less is better."""
_MAX_LISTED = 6
"""Maximum number of names that a note lists."""


class Table(NamedTuple):
    """The user's table.

    Attributes:
        path: path of its file.
        columns: names in order, without `model`.
        rows: (line in the file, model, values by column) of each row.
    """

    path: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, str, dict[str, Value]], ...]


class Quality(NamedTuple):
    """The joined column of the Pareto front; the other axis is MACs.

    Attributes:
        column: its name.
        more: whether more of it is better.
    """

    column: str
    more: bool

    @property
    def words(self) -> str:
        """The column and its better end, such as `top1 (more is better)`."""
        return f"{self.column} ({'more' if self.more else 'less'} is better)"


class Joined(NamedTuple):
    """A comparison with the table's columns, in `Compared.joined`.

    Attributes:
        rows: the models; the Pareto front is that of `quality` and MACs.
        columns: the joined columns.
        quality: the column that the front is of; None if the table has no numbers.
        notes: sentences on names that match nothing, and on sizes for which the table has no column.
        no_front: why no model is on the front; empty if some are.
    """

    rows: tuple[Compared, ...]
    columns: tuple[str, ...]
    quality: Quality | None
    notes: tuple[str, ...]
    no_front: str = ""


def read(path: str | Path) -> Table:
    """Read a table.

    Raises:
        InputError: it can't be read, isn't CSV with a column `model` and another one, has a column twice, a row without
            a model, or a row with more cells than there are columns. The message says the line.
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
        percents: by column, whether its first number has a `%`, and that number's line; updated in place.
    """
    for name, text in values.items():
        if not isinstance(_value(text), int | float):
            continue
        in_percent, first = percents.setdefault(name, (text.endswith("%"), line))
        if in_percent is not text.endswith("%"):
            raise InputError(
                f"{path}:{line}: column {name}: {text}, and line {first} is {'in' if in_percent else 'not in'} %; "
                "write all in one unit"
            )


def _value(text: str) -> Value:
    """Parse a cell: a number, with or without `%`, else a string; None if it is empty."""
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
        quality: the column of the Pareto front with MACs; `-COLUMN`: less is better. None: the first with numbers.

    Raises:
        InputError: two rows for one model, a column that the comparison has, too, no row that matches a model, no
            column named `quality`, or one whose values are not all numbers.
    """
    sizes = [name for name in dict.fromkeys(name for row in rows for name, _ in row.sizes) if name in table.columns]
    columns = tuple(name for name in table.columns if name not in sizes)
    varied = {f"vary_{name}" for row in rows for name, _ in row.sizes}  # columns of the comparison's data
    conflict = next((name for name in columns if name in COLUMNS | varied), None)
    if conflict is not None:
        raise InputError(f"{table.path}: a column named {conflict}: the comparison has one of its own; rename it")
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
    no_front = f"{unknown}, and none is on the Pareto front" if unknown and chosen is not None else ""
    if chosen is not None:
        joined = [row._replace(front=False) for row in joined] if no_front else _with_front(joined, chosen)
    elif unknown:
        notes.append(unknown)
    return Joined(tuple(joined), columns, chosen, tuple(notes), no_front)


def _sizes_without_column(table: Table, rows: Sequence[Compared]) -> str:
    """Return a sentence on the varied sizes for which the table has no column; empty if it has all.

    A row of the table is then joined to figures at several sizes.
    """
    varied = dict.fromkeys(name for row in rows for name, _ in row.sizes if name not in table.columns)
    return f"{table.path} has no column {_few([*varied])}: its values are the same at all of them" if varied else ""


def _by_key(table: Table, sizes: list[str]) -> dict[tuple[Any, ...], dict[str, Value]]:
    """Return the values of each row by its model and sizes. Raises InputError if two rows have the same."""
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
    """Return the requested column for the Pareto front, by default the first with numbers; None if there is none."""
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
    """Return whether the name of a column says that less is better."""
    return any(word in _LESS_IS_BETTER for word in re.split(r"[^a-z]+", name.lower()))


def _with_front(rows: Sequence[Compared], quality: Quality) -> list[Compared]:
    """Return the rows with those on the Pareto front of quality and MACs marked; none is if batch sizes differ."""
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
