"""Reads budget files: `cnncost.toml`, or `[tool.cnncost]` of a `pyproject.toml`.

The file is validated before any model is analyzed; errors name the line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from cnncost.budget.limits import Limit, parse_limit
from cnncost.budget.quantities import QUANTITIES, Quantity
from cnncost.errors import CnncostError
from cnncost.reprs import line
from cnncost.sources.resolve import Trace
from cnncost.sources.settings import TRACES
from cnncost.toml_file import Keys, TomlFile, line_of, parsed, text_of

FILE, PROJECT = "cnncost.toml", "pyproject.toml"
LOCK = "cnncost.lock.json"
_TOP = ("baseline", "budget")
"""Top-level keys of the file."""
_OTHER_KEYS = ("name", "model", "model_args", "input", "trace", "allow_unknown", "modules")
"""Keys of a `[[budget]]` besides the quantities that it limits."""


class BudgetError(CnncostError):
    """A budget file, or a baseline, that can't be used."""


class Rule(NamedTuple):
    """A limit and its target: the whole model, or each module that matches a glob."""

    quantity: Quantity
    limit: Limit
    glob: str | None
    keys: Keys
    """Keys that lead to the limit in the TOML file; error messages derive its line from them."""

    def __repr__(self) -> str:
        return line(self, f"{self.quantity.name} {self.limit.text}{f' in {self.glob}' if self.glob else ''}")


@dataclass(frozen=True, slots=True)
class Budget:
    """One `[[budget]]`: a model and its limits.

    Attributes:
        name: unique in the file; by default the model's specification.
        model: the model's specification, as on the command line; paths are relative to the file's folder.
        model_args: as for `analyze`.
        inputs: strings as `--input` takes them; empty: the model's default inputs.
        rules: the limits: those on the model in the order of the file, then those on modules.
        allow_unknown: whether a limit passes if ops without a rule make its outcome uncertain.
        keys: the keys that lead to the budget's table in the TOML file, for error messages.
        trace: as for `analyze`.
    """

    name: str
    model: str
    model_args: dict[str, Any]
    inputs: tuple[str, ...]
    rules: tuple[Rule, ...]
    allow_unknown: bool
    keys: Keys
    trace: Trace = "static"

    def __repr__(self) -> str:
        return line(self, f"{self.name}: {len(self.rules)} limits on {self.model}")

    @property
    def training(self) -> bool:
        """Whether a limit requires a training step."""
        return any(rule.quantity.training for rule in self.rules)

    @property
    def relative(self) -> bool:
        """Whether a limit requires a baseline."""
        return any(rule.limit.relative for rule in self.rules)


@dataclass(frozen=True, slots=True)
class BudgetFile:
    """The contents of a budget file: its path and text, its budgets, and the path of its baseline."""

    path: Path
    text: str
    budgets: tuple[Budget, ...]
    baseline: Path

    def __repr__(self) -> str:
        return line(self, f"{self.path.name}: {len(self.budgets)} budgets, baseline {self.baseline.name}")

    def line(self, keys: Keys) -> int | None:
        """Return the line number of a key, from 1; None if it is not found."""
        return line_of(self.text, keys)

    def place(self, keys: Keys) -> str:
        """Return the file and line of a key: `cnncost.toml:3`."""
        return _Reader(self.path, self.text).place(keys)


def find(start: Path) -> Path:
    """Return the budget file in a folder, or in its nearest parent that has one.

    Raises:
        BudgetError: there is none, or a `pyproject.toml` on the way can't be read.
    """
    for folder in (start, *start.parents):
        if (folder / FILE).is_file():
            return folder / FILE
        project = folder / PROJECT
        if (
            project.is_file()
            and "tool" in (data := parsed(project, _text(project), BudgetError))
            and "cnncost" in data["tool"]
        ):
            return project
    raise BudgetError(
        f"{start}: no {FILE} and no {PROJECT} with [tool.cnncost] here or above; "
        f'create {FILE} with [[budget]], model = "lenet5" and macs = "<= 400k"'
    )


def read(path: Path) -> BudgetFile:
    """Read and check a budget file.

    Raises:
        BudgetError: the file can't be read or is not TOML; or it has an unknown key (the message suggests a similar
            one), a value of the wrong type, a bad limit, two budgets with the same name, or no budget. The message
            begins with the file and, if known, the line.
    """
    return parse(path, _text(path))


def parse(path: Path, text: str) -> BudgetFile:
    """Return the budgets in a file's text. Raises BudgetError as `read` does."""
    data: Any = parsed(path, text, BudgetError)
    keys: Keys = ()
    if path.name == PROJECT:
        keys = ("tool", "cnncost")
        data = data.get("tool", {}).get("cnncost")
        if data is None:
            raise BudgetError(f"{path}: no [tool.cnncost] in it; add [[tool.cnncost.budget]]")
    return _Reader(path, text).file(data, keys)


def _text(path: Path) -> str:
    return text_of(path, BudgetError, "a budget file")


class _Reader(TomlFile):
    """Validates one file's data."""

    error = BudgetError

    def file(self, data: Any, keys: Keys) -> BudgetFile:
        self.check_keys(data, keys, _TOP, "a budget file")
        tables = self.typed(data.get("budget", []), list, (*keys, "budget"), "[[budget]] tables")
        if not tables:
            raise self.wrong(keys, "the file has no budget; add [[budget]] with a model and its limits")
        budgets = tuple(self.budget(table, (*keys, "budget", i)) for i, table in enumerate(tables))
        names = set[str]()
        for budget in budgets:
            if budget.name in names:
                raise self.wrong(budget.keys, f"a second budget named {budget.name!r}; give each its own: name = …")
            names.add(budget.name)
        baseline = self.typed(data.get("baseline", LOCK), str, (*keys, "baseline"), "a file name")
        return BudgetFile(self.path, self.text, budgets, self.path.parent / baseline)

    def budget(self, table: Any, keys: Keys) -> Budget:
        self.typed(table, dict, keys, "a table: [[budget]]")
        self.check_keys(table, keys, (*_OTHER_KEYS, *QUANTITIES), "a budget")
        if "model" not in table:
            raise self.wrong(keys, 'a budget without a model; add model = "net.py:build"')
        model = self.typed(table["model"], str, (*keys, "model"), 'a model such as "net.py:build"')
        arguments = self.typed(table.get("model_args", {}), dict, (*keys, "model_args"), "a table of arguments")
        rules = [*self.limits(table, keys, None), *self.modules(table.get("modules", {}), (*keys, "modules"))]
        if not rules:
            raise self.wrong(keys, f"a budget without a limit; add one of {', '.join(QUANTITIES)}")
        return Budget(
            name=self.typed(table.get("name", model), str, (*keys, "name"), "a name"),
            model=model,
            model_args=arguments,
            inputs=self.inputs(table.get("input"), (*keys, "input")),
            trace=self.trace(table.get("trace", "static"), (*keys, "trace")),
            rules=tuple(rules),
            allow_unknown=self.flag(table.get("allow_unknown", False), (*keys, "allow_unknown")),
            keys=keys,
        )  # fmt: skip

    def limits(self, table: dict[str, Any], keys: Keys, glob: str | None) -> list[Rule]:
        return [self.rule(name, table[name], (*keys, name), glob) for name in table if name in QUANTITIES]

    def rule(self, name: str, value: Any, keys: Keys, glob: str | None) -> Rule:
        quantity = QUANTITIES[name]
        if glob is not None and not quantity.modules:
            raise self.wrong(keys, f"{name} describes the whole model; it can't be limited on modules")
        try:
            limit = parse_limit(value, quantity)
        except CnncostError as error:
            raise self.wrong(keys, str(error)) from None
        return Rule(quantity, limit, glob, keys)

    def modules(self, table: Any, keys: Keys) -> list[Rule]:
        rules = []
        self.typed(table, dict, keys, 'a table: modules = { "layer4.*" = { macs = "<= 1G" } }')
        for glob, limits in table.items():
            place = (*keys, glob)
            self.typed(limits, dict, place, 'limits, such as { macs = "<= 1G" }')
            self.check_keys(limits, place, tuple(QUANTITIES), "limits of modules")
            own_rules = self.limits(limits, place, glob)
            if not own_rules:
                raise self.wrong(place, "no limit for these modules; add one or remove the entry")
            rules += own_rules
        return rules

    def trace(self, value: Any, keys: Keys) -> Trace:
        if value not in TRACES:
            *some, last = map(repr, TRACES)
            raise self.wrong(keys, f"trace: expected {', '.join(some)} or {last}, got {value!r}"[:300])  # may be long
        return cast("Trace", value)  # TRACES are the values of this Literal

    def flag(self, value: Any, keys: Keys) -> bool:
        return bool(self.typed(value, bool, keys, "true or false"))
