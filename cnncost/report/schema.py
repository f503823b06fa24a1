"""The schema of a Report's rows: name, meaning, aggregation and visibility of each statistic.

A statistic is declared once, in a row class (`rows.py`): as a field, or as a property if it is derived from others. All
else follows from the declaration: sums over calls, own shares and folded rows, JSON, CSV, tables.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from operator import attrgetter
from types import CodeType
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from cnncost.graph import Graph

Look: TypeAlias = Literal["text", "flag", "shapes", "count", "bytes", "ratio", "share", "along"]
SIZES: frozenset[Look] = frozenset({"count", "bytes", "ratio", "share"})
"""The looks of numbers by which rows can be sorted."""
Sums: TypeAlias = Literal["sum", "any", "no"]
Pass: TypeAlias = Callable[[Graph], Mapping[int, int]]
"""A pass: returns a number by the index of a call or of a scope; one that is missing has 0."""


class Statistic(NamedTuple):
    """The declaration of one statistic, which becomes a column.

    Attributes:
        heading: displayed above the column.
        meaning: one-sentence description.
        look: format of a value: a `ratio` is a float, a `share` a Fraction of 1, shown in percent.
        sums: how several rows become one: `sum`, `any` (of flags), or `no` (not combined).
        bounded: whether an op without a rule makes it a lower bound.
        masked: whether an unknown mask makes it an upper bound.
        group: group of optional columns, such as `rf`, that are shown together on request; empty: always shown.
        after: for a derived number, name of the column that it follows.
        given_by: the pass that fills it, by the call's index; None: it is filled when the Report is built or extended,
            or by `given_by_scope`. In a report that was saved before this pass existed, the statistic is None.
        given_by_scope: the same by the index of the scope, for what modules have whether or not they are called, such
            as parameters. The number is in the row of a module's first call, or in its only row if it has no calls.
        loose: for a derived number, whether an op without a rule makes it neither a lower nor an upper bound.
        reads: for a derived number, all names that its property reads, not only those of columns.
    """

    heading: str
    meaning: str
    look: Look = "count"
    sums: Sums = "sum"
    bounded: bool = False
    masked: bool = False
    group: str = ""
    after: str = ""
    given_by: Pass | None = None
    loose: bool = False
    reads: frozenset[str] = frozenset()
    given_by_scope: Pass | None = None

    @property
    def by_pass(self) -> bool:
        """Whether a pass fills it."""
        return self.given_by is not None or self.given_by_scope is not None


def _checked_look(look: Look) -> Look:
    """Return `look`. Raises TypeError if it is not a look of rows: tables have further kinds of values."""
    if look not in get_args(Look):
        raise TypeError(f"look {look!r}: expected one of {', '.join(get_args(Look))}")
    return look


def statistic(
    heading: str, meaning: str, look: Look = "count", *, sums: Sums = "sum", bounded: bool = False,
    masked: bool = False, group: str = "", given_by: Pass | None = None, given_by_scope: Pass | None = None,
    default: Any = dataclasses.MISSING,
) -> Any:  # fmt: skip
    """Declare a field of a row; arguments as in `Statistic`. Grouped fields are None or `default` until requested.

    Raises:
        TypeError: there is no such look; numbers of a pass are not to be added up, or there are two passes.
    """
    declaration = Statistic(
        heading, meaning, _checked_look(look), sums, bounded, masked, group, "", given_by, given_by_scope=given_by_scope
    )
    if declaration.by_pass:
        _check_passes(declaration)
        default = 0
    if group and default is dataclasses.MISSING:
        default = None
    return dataclasses.field(default=default, metadata={"statistic": declaration})


def _check_passes(declaration: Statistic) -> None:
    """Raise TypeError if the numbers of a pass would not add up: totals are the sums of a pass's numbers."""
    place = f"statistic {declaration.heading!r}"
    if declaration.given_by is not None and declaration.given_by_scope is not None:
        raise TypeError(f"{place}: expected one of given_by and given_by_scope, got both")
    if declaration.sums != "sum":
        raise TypeError(
            f"{place}: numbers of a pass add up over calls, so sums={declaration.sums!r} is not possible; leave sums "
            "out if yours do. The largest of several, or how many differ, is no such statistic"
        )
    if declaration.look not in {"count", "bytes"}:
        raise TypeError(
            f"{place}: numbers of a pass are a 'count' or 'bytes', got look {declaration.look!r}; declare a ratio or a "
            "share as a property, with @derived"
        )


class _Derived(property):
    """A property that is a column."""

    statistic: Statistic


def derived(
    heading: str, meaning: str, look: Look = "count", *, after: str, bounded: bool = False
) -> Callable[[Callable[[Any], Any]], property]:
    """Declare a property as a column: a number computed from other fields of the same row, which may be a sum of rows.

    `bounded`: whether the number can only grow when ops without a rule add to the columns that it reads. If False, and
    it reads such a column, it is marked as neither bound, `~`. The property must read columns directly, as `self.macs`:
    columns are not detected if they are read by a function to which it passes the row.
    """
    declaration = Statistic(heading, meaning, _checked_look(look), "no", bounded, after=after)

    def declare(function: Callable[[Any], Any]) -> property:
        column = _Derived(function)
        column.statistic = declaration._replace(reads=frozenset(_names_read(function.__code__)))
        return column

    return declare


def _names_read(code: CodeType) -> Iterator[str]:
    """Yield the names of attributes and globals in a function, including its lambdas and generator expressions."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names_read(inner)


@cache
def statistics(kind: Any) -> dict[str, Statistic]:
    """Return the statistics of a row class by name, in the order of the columns.

    A derived number follows its `after` column and belongs to that column's group. Derived numbers with the same
    `after` stay in the order of their declarations.

    Raises:
        TypeError: `after` is not a column of the class, or is declared further below.
    """
    fields: list[tuple[str, Statistic]] = [
        (f.name, f.metadata["statistic"]) for f in dataclasses.fields(kind) if "statistic" in f.metadata
    ]
    for name, value in [item for base in reversed(kind.__mro__) for item in vars(base).items()]:
        if isinstance(value, _Derived):
            columns = [each for each, _ in fields]
            if value.statistic.after not in columns:
                raise TypeError(
                    f"{kind.__name__}.{name}: after={value.statistic.after!r} is not a column of {kind.__name__}, or "
                    f"is declared further below; expected one of {', '.join(columns)}"
                )
            place = columns.index(value.statistic.after)
            # behind the numbers that already follow that column, directly or indirectly
            end, followers = place + 1, {value.statistic.after}
            while end < len(fields) and fields[end][1].after in followers:
                followers.add(fields[end][0])
                end += 1
            derived_statistic = _with_marks(value.statistic, dict(fields))
            fields.insert(end, (name, derived_statistic._replace(group=fields[place][1].group)))
    return dict(fields)


def _with_marks(declaration: Statistic, columns: Mapping[str, Statistic]) -> Statistic:
    """Return the declaration of a derived number with `loose` and `masked` set according to the columns it reads."""
    read = [columns[name] for name in declaration.reads & columns.keys()]
    partial = any(each.bounded or each.loose for each in read)
    masked = any(each.masked for each in read)
    return declaration._replace(loose=partial and not declaration.bounded, masked=masked)


def origins(kind: Any, name: str) -> tuple[str, ...]:
    """Return a column, the column that it follows if it is derived, and so on, up to a stored column."""
    declaration = statistics(kind).get(name)
    return (name, *origins(kind, declaration.after)) if declaration is not None and declaration.after else (name,)


def stored(kind: Any, name: str) -> str:
    """Return the stored column that a derived number directly or indirectly follows; a stored column gives itself."""
    return origins(kind, name)[-1]


@cache
def names(kind: Any, sums: Sums) -> tuple[str, ...]:
    """Return the names of a row class's stored statistics with this aggregation."""
    fields = {f.name for f in dataclasses.fields(kind)}  # derived numbers are properties
    return tuple([name for name, each in statistics(kind).items() if name in fields and each.sums == sums])


@cache
def groups(kind: Any) -> dict[str, tuple[str, ...]]:
    """Return the names of the optional statistics of a row class, by group."""
    by_group: dict[str, list[str]] = {}
    for name, declaration in statistics(kind).items():
        if declaration.group:
            by_group.setdefault(declaration.group, []).append(name)
    return {group: tuple(members) for group, members in by_group.items()}


def has(row: Any, group: str) -> bool:
    """Return whether a row has any statistic of a group; False if they were not requested."""
    kind: Any = type(row)
    return any(getattr(row, name) is not None for name in _presence_fields(kind, group))


@cache
def _presence_fields(kind: Any, group: str) -> tuple[str, ...]:
    """Return the members of a group that are None in a row without the group; its flags are False in such a row."""
    return tuple([name for name in groups(kind).get(group, ()) if statistics(kind)[name].look != "flag"])


def absent_columns(row: Any) -> frozenset[str]:
    """Return the columns that a row lacks because its report was saved before their passes existed.

    They include the derived numbers that follow or read such columns.
    """
    kind: Any = type(row)
    missing = tuple([name for name in filled_by_passes(kind) if getattr(row, name) is None])
    return _with_derived(kind, missing) if missing else frozenset()


@cache
def filled_by_passes(kind: Any) -> tuple[str, ...]:
    """Return the names of the statistics that passes fill."""
    return tuple([name for name, declaration in statistics(kind).items() if declaration.by_pass])


@cache
def _with_derived(kind: Any, missing: tuple[str, ...]) -> frozenset[str]:
    """Return columns together with the derived numbers that directly or indirectly follow or read them."""
    absent = set(missing)
    for name, declaration in statistics(kind).items():
        if not absent.isdisjoint({declaration.after, *declaration.reads}):
            absent.add(name)
    return frozenset(absent)


def total(rows: Iterable[Any], kind: Any) -> dict[str, Any]:
    """Return the statistics of a class, aggregated over rows; None for optional statistics that no row has."""
    rows = list(rows)
    if len(rows) == 1:
        return _total_of_one(rows[0], kind)
    sums: dict[str, Any] = {}
    for name in names(kind, "sum"):
        values = [value for row in rows if (value := getattr(row, name, None)) is not None]
        sums[name] = sum(values) if values else _empty_sums(kind)[name]
    for name in names(kind, "any"):
        sums[name] = any(getattr(row, name, False) for row in rows)
    return sums


def _total_of_one(row: Any, kind: Any) -> dict[str, Any]:
    """`total` of a single row: a fast path, because most modules have only one."""
    sums: dict[str, Any] = {}
    for name, zero in _empty_sums(kind).items():
        value = getattr(row, name, None)
        sums[name] = zero if value is None else value
    for name in names(kind, "any"):
        sums[name] = bool(getattr(row, name, False))
    return sums


@cache
def _empty_sums(kind: Any) -> dict[str, int | None]:
    """Return the empty sum of each summed statistic, by name: 0, or None if a report may lack the statistic."""
    declared = statistics(kind)
    lacking = {name for name in declared if declared[name].group or declared[name].by_pass}
    return {name: None if name in lacking else 0 for name in names(kind, "sum")}


def changed(row: Any, **values: Any) -> Any:
    """Return a copy of a row with some fields changed. Faster than `dataclasses.replace`; there may be many rows."""
    kind: Any = type(row)
    copy = object.__new__(kind)
    read, write = _fields(kind)
    for write_field, value in zip(write, read(row), strict=True):
        write_field(copy, value)
    for name, value in values.items():
        object.__setattr__(copy, name, value)  # because the class is frozen
    return copy


@cache
def _fields(kind: Any) -> tuple[Callable[[Any], tuple[Any, ...]], tuple[Callable[[Any, Any], None], ...]]:
    """Return a function that reads all fields of a slotted row class, and for each field a function that writes it.

    The latter are the slots' own setters, because the `__setattr__` of a frozen dataclass raises.
    """
    field_names = [field.name for field in dataclasses.fields(kind)]
    return attrgetter(*field_names), tuple([getattr(kind, name).__set__ for name in field_names])


def times(row: Any, number: int) -> Any:
    """Return the sum of `number` equal rows."""
    if number == 1:
        return row
    kind: Any = type(row)
    values = {name: getattr(row, name) for name in names(kind, "sum")}
    return changed(row, **{name: number * value for name, value in values.items() if value is not None})
