"""The baseline: the figures of each model in a budget file, stored in a file next to it that users commit.

The file has one line per module, with models sorted by name and modules in the order of the model, so that a diff of
two baselines reads as a diff of the models. It is written atomically.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from cnncost import versions
from cnncost.budget.file import BudgetError
from cnncost.budget.quantities import Value
from cnncost.budget.snapshot import SUMMED, Part, Snapshot
from cnncost.files import write as write_file
from cnncost.graph import Shape
from cnncost.render.values import Tensor

SCHEMA = 2
"""In schema 1, shapes and settings were strings (`1×3×224×224 float32`); it can be read, and --update replaces it."""
_UPDATE = "recreate it with cnncost check --update"
_PART_KEYS = ("class", "calls", "output", *SUMMED, "settings", "unknown")


@dataclass(frozen=True, slots=True)
class Entry:
    """A model in the baseline: its figures, and the values of other limited quantities, by quantity and path."""

    snapshot: Snapshot
    values: dict[str, dict[str, Value]]


@dataclass(frozen=True, slots=True)
class Lock:
    """A baseline: its models by the budget's name, and the version of torch with which they were analyzed."""

    torch: str
    models: Mapping[str, Entry]


def torch_version() -> str:
    """Return the version of the installed torch without the build suffix, on which counts don't depend."""
    return versions.torch_version().partition("+")[0]


def write(path: Path, lock: Lock) -> None:
    """Write the baseline; after an error, the old file is unchanged. Raises OutputError as `files.write` does."""
    write_file(path, to_text(lock))


def to_text(lock: Lock) -> str:
    """Return the file's text. It is the same for equal figures and versions."""
    lines = [
        "{",
        f'  "schema": {SCHEMA},',
        f'  "cnncost": {json.dumps(versions.__version__)},',
        f'  "torch": {json.dumps(lock.torch)},',
        '  "models": {',
    ]
    models = [_model(name, lock.models[name]) for name in sorted(lock.models)]
    return "\n".join([*lines, ",\n".join(models), "  }", "}", ""])


def _model(name: str, entry: Entry) -> str:
    snapshot = entry.snapshot
    modules = ",\n".join(f"        {_json(part.path)}: {_json(_fields_of(part))}" for part in snapshot.parts)
    values = {
        quantity: {path: _number(value) for path, value in by_path.items()}
        for quantity, by_path in entry.values.items()
    }
    unseen = '      "unseen": true,\n' if snapshot.unseen else ""
    return (
        f"    {_json(name)}: {{\n"
        f'      "model": {_json(snapshot.model)},\n'
        f'      "inputs": {_json([each._asdict() for each in snapshot.inputs])},\n'
        f'      "lower_bound": {_json(snapshot.lower_bound)},\n{unseen}'
        f'      "totals": {_json(snapshot.totals)},\n'
        f'      "values": {_json(values)},\n'
        f'      "modules": {{\n{modules}\n      }}\n'
        "    }"
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _fields_of(part: Part) -> dict[str, Any]:
    """Return the fields of a module's line; fields with default values are omitted."""
    fields = {"class": part.class_name, "calls": part.calls, "output": part.output}
    fields |= {name: getattr(part, name) for name in SUMMED}
    fields |= {"settings": {key: _setting(value) for key, value in part.settings}, "unknown": part.unknown}
    defaults = _defaults(part.params)
    return {key: value for key, value in fields.items() if value != defaults.get(key)}


def _defaults(params: int) -> dict[str, Any]:
    """Return the defaults that a line omits: called once, all parameters trainable, everything else zero or empty."""
    nothing = dict.fromkeys(SUMMED, 0) | {"trainable_params": params}
    return {"calls": 1, "output": None, **nothing, "settings": {}, "unknown": False}


def _setting(text: str) -> Any:
    """Convert a setting to JSON: `3` to 3, `3×5` to [3, 5]; a word stays a string."""
    numbers = text.split("×")
    # str(int(…)): a text such as 03 also remains a string, so that it is read back unchanged
    if not all(number.removeprefix("-").isdecimal() and str(int(number)) == number for number in numbers):
        return text
    return int(text) if len(numbers) == 1 else [int(number) for number in numbers]


def _number(value: Value) -> Any:
    return "global" if value == inf else int(value) if value == int(value) else float(value)


def read(path: Path, *, any_torch: bool = False) -> Lock | None:
    """Read a baseline; None if there is no such file.

    Args:
        path: the file's path.
        any_torch: accept figures from another version of torch.

    Raises:
        BudgetError: the file can't be read, is not a baseline or has an unknown schema; it was made with another
            version of torch, unless `any_torch`; or its figures don't add up.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise BudgetError(f"{path}: can't be read: {reason}") from None
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise BudgetError(f"{path}:{error.lineno}: broken JSON: {error.msg}; {_UPDATE}") from None
    except (ValueError, RecursionError):
        raise BudgetError(f"{path}: broken JSON: nested too deep, or a number too long; {_UPDATE}") from None
    if not isinstance(data, dict) or "schema" not in data:
        raise BudgetError(f'{path}:1: expected a baseline, a JSON object with "schema"; {_UPDATE}')
    if data["schema"] not in (1, SCHEMA):
        raise BudgetError(
            f"{path}:{_line(text, 'schema')}: schema {data['schema']!r}; "
            f"this version of cnncost reads 1 and {SCHEMA}; {_UPDATE}"
        )
    if data.get("torch") != torch_version() and not any_torch:
        raise BudgetError(
            f"{path}:{_line(text, 'torch')}: made with torch {data.get('torch')}, but this is torch {torch_version()}, "
            f"which may run other ops; {_UPDATE}, or compare anyway with --any-torch"
        )
    return _Reader(path, text, is_schema_1=data["schema"] == 1).lock(data)


def _line(text: str, key: str) -> int:
    """Return the number of the first line that starts with this key; 1 if none does."""
    return next((i for i, line in enumerate(text.splitlines(), 1) if line.lstrip().startswith(f'"{key}"')), 1)


class _Reader:
    """Checks the data of one file. Its errors name the file and the line.

    The argument `where` of its methods locates a value in the file: `resnet18 → layer1.0`.
    """

    def __init__(self, path: Path, text: str, *, is_schema_1: bool) -> None:
        self.path, self.text, self.is_schema_1 = path, text, is_schema_1

    def wrong(self, where: str, expected: str, value: Any) -> BudgetError:
        key = where.rpartition("→")[2].strip()
        got = json.dumps(value, ensure_ascii=False)[:60]
        return BudgetError(f"{self.path}:{_line(self.text, key)}: {where}: expected {expected}, got {got}; {_UPDATE}")

    def lock(self, data: dict[str, Any]) -> Lock:
        models = self.table(data.get("models"), "models")
        return Lock(str(data.get("torch")), {name: self.entry(models[name], name) for name in models})

    def entry(self, data: Any, name: str) -> Entry:
        table = self.table(data, name)
        modules = self.table(table.get("modules"), f"{name} → modules")
        parts = tuple(self.part(path, row, f"{name} → {path}") for path, row in modules.items())
        if not parts or parts[0].path:
            raise self.wrong(name, 'the model itself, "", as the first of the modules', next(iter(modules), None))
        if orphan := next((p.path for p in parts if p.path and p.above not in modules), None):
            raise self.wrong(f"{name} → {orphan}", "a module whose parent is in the list", orphan)
        totals = self.table(table.get("totals"), f"{name} → totals")
        for key in SUMMED:
            total, added = self.count(totals.get(key), f"{name} → totals"), sum(getattr(p, key) for p in parts)
            if total != added:
                raise self.wrong(f"{name} → totals", f"{key} {added}, the sum over the modules", total)
        model = self.typed(table.get("model"), str, f"{name} → model", "a text")
        lower_bound = self.typed(table.get("lower_bound"), bool, f"{name} → lower_bound", "true or false")
        unseen = self.typed(table.get("unseen", False), bool, f"{name} → unseen", "true or false")
        return Entry(
            Snapshot(model, self.inputs(table, name), parts, lower_bound, totals, unseen=unseen),
            self.values(table.get("values"), name),
        )

    def inputs(self, table: dict[str, Any], name: str) -> tuple[Tensor, ...]:
        if self.is_schema_1:
            text = self.typed(table.get("input"), str, f"{name} → input", "a text")
            pairs = [each.rpartition(" ") for each in text.split(", ") if each]
            return tuple(Tensor(self.shape(shape, f"{name} → input"), dtype) for shape, _, dtype in pairs)
        where, tensors = f"{name} → inputs", []
        for each in self.typed(table.get("inputs"), list, where, "a list"):
            row = self.table(each, where)
            dtype = self.typed(row.get("dtype"), str, where, "a dtype")
            tensors.append(Tensor(self.shape(row.get("shape"), where), dtype))
        return tuple(tensors)

    def shape(self, value: Any, where: str) -> Shape:
        """Read a shape: `[1, 3, 8, 8]`, or `1×3×8×8` in schema 1."""
        if not self.is_schema_1:
            return tuple(self.count(each, where) for each in self.typed(value, list, where, "a shape, [1, 3, 8, 8]"))
        axes = self.typed(value, str, where, "a shape").split("×")
        if axes == ["scalar"]:
            return ()
        if not all(axis.isdecimal() and len(axis) < 20 for axis in axes):
            raise self.wrong(where, "a shape such as 1×3×8×8", value)
        return tuple(map(int, axes))

    def setting(self, value: Any, where: str) -> str:
        if isinstance(value, list):
            return "×".join(str(self.typed(each, int, where, "a whole number")) for each in value)
        if type(value) not in {int, str}:
            raise self.wrong(where, "a whole number, a list of them or a word", value)
        return str(value)

    def values(self, data: Any, name: str) -> dict[str, dict[str, Value]]:
        where = f"{name} → values"
        by_quantity: dict[str, dict[str, Value]] = {}
        for quantity, by_path in self.table(data, where).items():
            by_quantity[quantity] = {}
            for path, value in self.table(by_path, where).items():
                by_quantity[quantity][path] = inf if value == "global" else self.count(value, where)
        return by_quantity

    def part(self, path: str, data: Any, where: str) -> Part:
        row = self.table(data, where)
        if unknown := next((key for key in row if key not in _PART_KEYS), None):
            raise self.wrong(where, f"one of {', '.join(_PART_KEYS)}", unknown)
        row = _defaults(self.count(row.get("params", 0), where)) | row
        settings = self.table(row["settings"], where)
        part = Part(
            path,
            self.typed(row.get("class"), str, where, "a class"),
            self.count(row["calls"], where),
            None if row["output"] in (None, "") else self.shape(row["output"], where),
        )
        figures: Any = {key: self.count(row[key], where) for key in SUMMED}
        return part._replace(
            **figures,
            settings=tuple((key, self.setting(value, where)) for key, value in settings.items()),
            unknown=self.typed(row["unknown"], bool, where, "true or false"),
        )

    def table(self, value: Any, where: str) -> dict[str, Any]:
        fields: dict[str, Any] = self.typed(value, dict, where, "an object")
        return fields

    def count(self, value: Any, where: str) -> int:
        number: int = self.typed(value, int, where, "a whole number")
        if number < 0:
            raise self.wrong(where, "a number of 0 or more", value)
        return number

    def typed(self, value: Any, kind: type, where: str, expected: str) -> Any:
        if type(value) is not kind:  # not isinstance: bool is a subclass of int
            raise self.wrong(where, expected, value)
        return value
