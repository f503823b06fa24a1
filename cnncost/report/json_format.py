"""Writes a report as JSON and reads it back: exact ints, a schema version, one line per row.

Serialization is derived from the Report's type annotations, so a new field is written, read and checked without
further code. Keys are field names, except that `class_name` becomes `class` and an op's `name` becomes `op`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import repeat
from types import UnionType
from typing import Any, Literal, NoReturn, TypeAlias, Union, get_args, get_origin, get_type_hints

from cnncost.errors import CnncostError
from cnncost.garbage import gc_disabled
from cnncost.render.json import SCHEMA, json_text
from cnncost.render.values import plain
from cnncost.report.data import ReportData, SomeReport
from cnncost.report.memory import MemoryFigures
from cnncost.report.rows import Computed, Layer, Op
from cnncost.report.schema import absent_columns, changed, filled_by_passes, groups, has, names, statistics

_READABLE_SCHEMAS = (1, SCHEMA)  # a report's fields are the same in both
_COMMAND = "summarize"
_OF_OPS = ("macs", "flops", "bytes_read", "bytes_written")
"""Columns of ops that add up to the totals."""
_NAMES = {(Layer, "class_name"): "class", (Op, "name"): "op"}
"""JSON names that differ from the field name."""
_OPTIONAL = {
    "fields", "container_shapes", "container_inputs", "further", "input_names", "notes", "mask_tile", "partial",
    "assumed", "communication", "devices", "links",
}  # fmt: skip
"""Fields that are not written if empty."""
_ATOMS = frozenset({int, str, bool, type(None)})  # types that JSON represents directly
_ITEM_KEYS = {"inputs": ("shape", "dtype"), "tree": ("path", "class", "calls")}
"""By field, the keys of its items, which are tuples in a report and objects in JSON."""


@gc_disabled()
def to_json(report: ReportData) -> str:
    """Return the report as one JSON document."""
    data: dict[str, Any] = {"schema": SCHEMA, "command": _COMMAND, "model": report.model, "batch": report.batch}
    if report.made_with:
        data["made_with"] = report.made_with
    for field in _fields(ReportData):
        value = getattr(report, field)
        if field in _OPTIONAL and not value:
            continue
        keys = _ITEM_KEYS.get(field)
        data[field] = [dict(zip(keys, each, strict=True)) for each in value] if keys else _rows(value)
    if (report.graph is not None or report.saved_memory is not None) and not report.partial:
        data["memory"] = report.memory.figures
    return json_text(data, _plain)


def _rows(value: Any) -> Any:
    """Return a tuple as a list, whose items `json_text` writes on lines of their own; anything else unchanged."""
    return list(value) if isinstance(value, tuple) and not _has_fields(type(value)) else value


def _written_fields(row: Any) -> tuple[tuple[str, str], ...]:
    """Return (attribute, JSON name) of a row's fields and derived numbers, except those that it lacks."""
    kind: Any = type(row)
    if not issubclass(kind, Computed):
        return _json_names(kind, (), frozenset())
    return _json_names(kind, tuple([group for group in groups(kind) if not has(row, group)]), absent_columns(row))


@cache
def _json_names(kind: Any, lacking: tuple[str, ...], absent: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """Return (attribute, JSON name) of a class's columns, except those in `absent` and in the groups `lacking`."""
    missing = absent.union(*[groups(kind)[group] for group in lacking])
    derived = _derived(kind) if issubclass(kind, Computed) else ()
    attributes = [name for name in (*_fields(kind), *derived) if name not in missing]
    return tuple([(name, _NAMES.get((kind, name), name)) for name in attributes])


@cache
def _derived(kind: type) -> tuple[str, ...]:
    return tuple(name for name, about in statistics(kind).items() if about.after)


def _plain(value: Any) -> Any:
    """Return a value as plain data: NamedTuples and dataclasses as objects, other tuples as lists."""
    kind: Any = type(value)
    if kind in _ATOMS:
        return value
    if _has_fields(kind):
        row = {key: _plain(getattr(value, name)) for name, key in _written_fields(value)}
        if isinstance(value, Layer):  # a property, not a field
            row |= {"output_shape": _plain(value.output_shape)}
        return row
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return plain(value)  # a derived number may be a Fraction, infinite or NaN


@gc_disabled()
def from_json(text: str, kind: type[SomeReport]) -> SomeReport:
    """Read a report written by `to_json`; it has no graph, so it can't explain a layer's formula.

    Raises:
        CnncostError: the text is not JSON, or not a report in a schema that can be read; a field is missing or has
            the wrong type; or fields contradict each other, such as rows that do not add up to the totals.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CnncostError(f"report file: not JSON ({error}); expected a report saved by cnncost") from None
    if not isinstance(data, dict) or "schema" not in data:
        raise CnncostError('report file: expected a JSON object with "schema", such as a report saved by cnncost')
    if data["schema"] not in _READABLE_SCHEMAS:
        schemas = " and ".join(map(str, _READABLE_SCHEMAS))
        raise CnncostError(f"report file: schema {data['schema']!r}; this version of cnncost reads schema {schemas}")
    if (command := data.get("command", _COMMAND)) != _COMMAND:
        raise CnncostError(f"report file: written by cnncost {command}; expected what cnncost {_COMMAND} writes")
    for field in _ITEM_KEYS.keys() & data.keys():
        items = enumerate(_list(data[field], field))
        data[field] = [_values(item, _ITEM_KEYS[field], f"{field}[{i}]") for i, item in items]
    report: SomeReport = _read(kind, data, "")
    if added_later := dict.fromkeys(name for name in filled_by_passes(Layer) if name not in data["totals"]):
        layers = tuple([changed(layer, **added_later) for layer in report.layers])
        report = replace(report, layers=layers, totals=changed(report.totals, **added_later))
    _check(report)
    if (batch := data.get("batch", report.batch)) != report.batch:
        raise _format_error("batch", f"the inputs' batch, {report.batch}", batch)
    versions = _read(dict[str, str], data.get("made_with", {}), "made_with")
    memory = _read(MemoryFigures, data["memory"], "memory") if "memory" in data else None
    return replace(report, saved_memory=memory, made_with=versions)


def _values(item: Any, keys: tuple[str, ...], where: str) -> list[Any]:
    if not isinstance(item, dict) or not item.keys() >= set(keys):
        raise _format_error(where, f"an object with {', '.join(keys)}", item)
    return [item[key] for key in keys]


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _format_error(where, "a list", value)
    return value


@cache
def _has_fields(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")


@cache
def _fields(kind: Any) -> dict[str, Any]:
    """Return the types of a class's fields by name, in the order in which they are written.

    Fields with `compare=False` are not written.
    """
    hints = get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind) if f.compare] if dataclasses.is_dataclass(kind) else kind._fields
    if issubclass(kind, Computed):  # the row class's own fields, which identify the row, come before inherited ones
        names = sorted(names, key=lambda name: name not in vars(kind)["__annotations__"])
    return {name: hints[name] for name in names}


_Reader: TypeAlias = Callable[[Any], Any]


class _Mismatch(Exception):  # noqa: N818  # becomes a CnncostError
    """A value that does not match its type.

    Attributes:
        message: what was expected and what was found.
        path: the keys and indices that lead to the value, innermost first.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.path: list[str] = []


def _read(kind: Any, value: Any, where: str) -> Any:
    """Convert a JSON value to a type. Raises CnncostError, which says where the value doesn't match."""
    try:
        return _reader(kind)(value)
    except _Mismatch as mismatch:
        place = "".join([where, *reversed(mismatch.path)]).removeprefix(".")
        raise CnncostError(f"report file: {place}{mismatch.message}") from None


@cache
def _reader(kind: Any) -> _Reader:
    """Return a function that converts JSON values to a type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if _has_fields(kind):
        return _object_reader(kind)
    if origin in {Union, UnionType}:
        return _union_reader(arguments)
    if origin is tuple:
        return _tuple_reader(arguments)
    if origin is dict:
        return _dict_reader(arguments[1])
    if origin is Literal:
        return lambda value: (
            value if value in arguments else _mismatch(f"one of {', '.join(map(str, arguments))}", value)
        )
    expected = {int: "a whole number", str: "a text", bool: "true or false"}.get(kind, str(kind))
    # not isinstance: bool is a subclass of int
    return lambda value: value if type(value) is kind else _mismatch(expected, value)


@cache
def _unconverted_types(kind: Any) -> frozenset[type]:
    """Return the types of JSON values that a field of type `kind` takes without conversion."""
    if get_origin(kind) in {Union, UnionType}:
        return frozenset().union(*map(_unconverted_types, get_args(kind)))
    return frozenset({kind} & {int, str, bool, type(None)})


def _union_reader(kinds: tuple[Any, ...]) -> _Reader:
    """Return a function that converts to the first matching type."""
    optional = type(None) in kinds
    *others, last = [_reader(kind) for kind in kinds if kind is not type(None)]

    def read(value: Any) -> Any:
        if value is None and optional:
            return None
        for other in others:
            try:
                return other(value)
            except _Mismatch:
                continue
        return last(value)

    return read


def _tuple_reader(kinds: tuple[Any, ...]) -> _Reader:
    readers = [_reader(kind) for kind in kinds if kind is not Ellipsis]

    def read(value: Any) -> Any:
        if not isinstance(value, list):
            _mismatch("a list", value)
        item_readers = repeat(readers[0], len(value)) if kinds[-1] is Ellipsis else readers
        if kinds[-1] is not Ellipsis and len(readers) != len(value):
            _mismatch(f"a list of {len(readers)}", value)
        items: list[Any] = []
        try:
            for read_item, item in zip(item_readers, value, strict=True):
                items.append(read_item(item))
        except _Mismatch as mismatch:
            mismatch.path.append(f"[{len(items)}]")
            raise
        return tuple(items)

    return read


def _dict_reader(kind: Any) -> _Reader:
    read_item = _reader(kind)

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            _mismatch("an object", value)
        items, key = {}, ""
        try:
            for key, item in value.items():
                items[key] = read_item(item)
        except _Mismatch as mismatch:
            mismatch.path.append(f".{key}")
            raise
        return items

    return read


def _object_reader(kind: Any) -> _Reader:
    optional_fields = _optional_fields(kind)
    plan = [
        (name, _NAMES.get((kind, name), name), _unconverted_types(hint), _reader(hint), name in optional_fields)
        for name, hint in _fields(kind).items()
    ]

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            _mismatch("an object", value)
        arguments, key = {}, ""
        try:
            for name, key, unconverted, convert, optional in plan:
                if key in value:
                    item = value[key]
                    arguments[name] = item if type(item) in unconverted else convert(item)
                elif not optional:
                    _raise_missing()
        except _Mismatch as mismatch:
            mismatch.path.append(f".{key}")
            raise
        return kind(**arguments)

    return read


def _raise_missing() -> NoReturn:
    raise _Mismatch(" is missing; expected a report saved by cnncost")


def _mismatch(expected: str, value: Any) -> NoReturn:
    raise _Mismatch(f": expected {expected}, got {json.dumps(value)[:60]}")


def _optional_fields(kind: Any) -> set[str]:
    """Return the names of the fields that may be missing in a file.

    In a NamedTuple or a row these are all fields with a default; in a report, only those with a `default_factory`.
    """
    if dataclasses.is_dataclass(kind):
        unset = dataclasses.MISSING
        is_report_row = isinstance(kind, type) and issubclass(kind, Computed)
        return {
            f.name for f in dataclasses.fields(kind)
            if f.default_factory is not unset or (is_report_row and f.default is not unset)
        }  # fmt: skip
    return set(kind._field_defaults)


def _format_error(where: str, expected: str, value: Any) -> CnncostError:
    return CnncostError(f"report file: {where}: expected {expected}, got {json.dumps(value)[:60]}")


def _check(report: ReportData) -> None:
    """Raise CnncostError if the module tree, the input names or the totals don't match the rest of the report."""
    paths = {path for path, _, _ in report.tree}
    if "" not in paths:
        raise CnncostError('report file: tree: expected the model itself, path "", among the modules')
    for path in (*paths, *(layer.path for layer in report.layers)):
        if path and (path.rpartition(".")[0] not in paths or path not in paths):
            raise CnncostError(f"report file: module {path!r} or its parent is not in the tree")
    if report.input_names and len(report.input_names) != len(report.inputs):
        raise CnncostError(f"report file: {len(report.input_names)} input_names for {len(report.inputs)} inputs")
    for name in names(Layer, "sum"):
        total, rows = getattr(report.totals, name), sum(getattr(layer, name) or 0 for layer in report.layers)
        if total is not None and total != rows:
            raise CnncostError(f"report file: totals.{name} is {total}, but the layers add up to {rows}")
    for name in _OF_OPS:
        total, ops = getattr(report.totals, name), sum(getattr(op, name) for op in report.ops)
        if total != ops:
            raise CnncostError(f"report file: totals.{name} is {total}, but the ops add up to {ops}")
