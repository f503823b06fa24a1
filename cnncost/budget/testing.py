"""The fixture of the pytest plugin: snapshots, and figures that explain themselves when an assertion fails."""

from __future__ import annotations

import re
from fractions import Fraction
from math import isfinite
from pathlib import Path
from typing import Any, Self

from cnncost import units
from cnncost.budget import lock as locks
from cnncost.budget.check import Check, check
from cnncost.budget.diff import FIGURES, Diff
from cnncost.budget.file import Budget, BudgetFile, Rule
from cnncost.budget.limits import parse_limit
from cnncost.budget.lock import Entry, Lock
from cnncost.budget.measure import Measured, of_budget
from cnncost.budget.quantities import QUANTITIES, Quantity, show_exact
from cnncost.budget.render import words
from cnncost.budget.snapshot import SUMMED, Snapshot
from cnncost.errors import CnncostError
from cnncost.near import suggestion
from cnncost.report.model import Report
from cnncost.report.rows import Layer

FOLDER = "__complexity__"
"""Folder of snapshots next to the test file. Each snapshot is a separate file, so parallel tests write different files.
"""
_MAX_LISTED = 5


class ComplexityError(AssertionError):
    """A model exceeds its limits or differs from its snapshot: the test fails."""


class Figure(int):
    """An int that knows its quantity and the other figures of its model."""

    quantity: Quantity
    result: Result

    @classmethod
    def of(cls, value: int, quantity: Quantity, result: Result) -> Self:
        """Return a figure of a model."""
        figure = cls(value)
        figure.quantity, figure.result = quantity, result
        return figure


class Result:
    """The figures of a model: `params`, `trainable_params`, `macs`, `flops` and all others that a budget can limit.

    `report` is the whole Report; `old` is the model's stored snapshot, or None.
    """

    def __init__(self, report: Report, old: Snapshot | None) -> None:
        self.report, self.old = report, old

    def __getattr__(self, name: str) -> Any:
        if name not in QUANTITIES:
            raise AttributeError(f"{name}: no figure of this name{suggestion(name, QUANTITIES)}")
        quantity = QUANTITIES[name]
        value = quantity.read(self.report, self.report.modules[0], quantity.usual or "<=")
        if isinstance(value, int):
            return Figure.of(value, quantity, self)
        return float(value) if isinstance(value, Fraction) else value

    def __repr__(self) -> str:
        return f"complexity of {self.report.model}"


class Complexity:
    """The fixture. Call it with arguments of `cnncost.analyze`; `check` compares with a snapshot.

    Attributes:
        analyzed: number of models analyzed so far.
    """

    def __init__(self, test_file: Path, limits: dict[str, Any], *, update: bool) -> None:
        self.folder = test_file.parent / FOLDER / test_file.stem
        self.limits, self.update, self.analyzed = limits, update, 0

    def __call__(
        self, model: Any, inputs: Any = None, *, model_args: dict[str, Any] | None = None, name: str | None = None,
        training: bool = False,
    ) -> Result:  # fmt: skip
        """Return the figures of a model; if the test has a marker with limits, check them against it.

        Args:
            model: as for `cnncost.analyze`.
            inputs: as for `cnncost.analyze`.
            model_args: as for `cnncost.analyze`.
            training: also analyze a training step, for `training_peak` and `activations`; limits on these imply it.
            name: name of the snapshot to compare with, if it exists; by default the specification or the name of the
                model's class.

        Raises:
            ComplexityError: the model is not within the limits of the marker.
            CnncostError: as `cnncost.analyze` does; or a limit can't be parsed, or is relative without a snapshot.
        """
        __tracebackhide__ = True  # for pytest: this frame isn't shown in a failed test's traceback
        report, key = self._analyze(model, inputs, model_args, name, self.limits, training=training)
        entry = self._snapshot_entry(key)
        if self.limits:
            self._check_limits(report, key, self.limits, entry)
        return Result(report, entry.snapshot if entry is not None else None)

    def check(
        self, model: Any, inputs: Any = None, *, model_args: dict[str, Any] | None = None, name: str | None = None,
        **limits: Any,
    ) -> Result:  # fmt: skip
        """Compare a model with its snapshot, which `pytest --complexity-update` writes.

        Args:
            model: as for a call.
            inputs: as for a call.
            model_args: as for a call.
            name: as for a call.
            limits: by quantity, such as `params="+1%"`, in addition to the marker's. If there are none at all, every
                module must be unchanged.

        Raises:
            ComplexityError: there is no snapshot, the model has changed, or it is not within the limits.
            CnncostError: as a call does; or the snapshot was made with another torch or, if there are limits, with
                other inputs.
        """
        __tracebackhide__ = True
        report, key = self._analyze(model, inputs, model_args, name, self.limits | limits, training=False)
        entry = self._snapshot_entry(key)
        if self.update:
            entry = self._write(report, key, limits)
        elif entry is None:
            raise ComplexityError(f"{key}: there is no snapshot {self._path(key)}; write it with --complexity-update")
        all_limits = self.limits | limits
        if all_limits:
            self._check_limits(report, key, all_limits, entry)
        else:
            new = _measured(report, key, ()).snapshot
            assert new is not None  # it would be None only if the analysis had failed
            _require_unchanged(key, Diff(entry.snapshot, new))
        return Result(report, entry.snapshot)

    def _analyze(
        self, model: Any, inputs: Any, model_args: Any, name: str | None, limits: dict[str, Any], *, training: bool
    ) -> tuple[Report, str]:
        from cnncost.analysis import analyze

        __tracebackhide__ = True
        self.analyzed += 1
        key = name or (model if isinstance(model, str) else type(model).__name__)
        needs_training = training or any(rule.quantity.training for rule in _rules(limits))
        return analyze(model, inputs, model_args=model_args, name=key, training=needs_training), key

    def _path(self, key: str) -> Path:
        return self.folder / (re.sub(r"[^\w.-]+", "_", key) + ".json")

    def _snapshot_entry(self, key: str) -> Entry | None:
        saved = locks.read(self._path(key), any_torch=self.update)
        return saved.models.get(key) if saved is not None else None

    def _write(self, report: Report, key: str, limits: dict[str, Any]) -> Entry:
        from cnncost.budget.check import new_baseline

        new = new_baseline([_measured(report, key, _rules(limits))])
        self.folder.mkdir(parents=True, exist_ok=True)
        locks.write(self._path(key), new)
        return new.models[key]

    def _check_limits(self, report: Report, key: str, limits: dict[str, Any], entry: Entry | None) -> None:
        __tracebackhide__ = True
        budget = _budget(key, _rules(limits))
        file = BudgetFile(self._path(key), "", (budget,), self._path(key))
        lock = Lock(locks.torch_version(), {key: entry}) if entry is not None else None
        outcome = check(file, [of_budget(budget, report)], lock)
        if outcome.exit_code:
            raise ComplexityError("\n".join(_complaints(outcome, report)))


def _rules(limits: dict[str, Any]) -> tuple[Rule, ...]:
    __tracebackhide__ = True
    rules = []
    for name, value in limits.items():
        if name not in QUANTITIES:
            raise CnncostError(f"complexity: no limit {name!r}{suggestion(name, QUANTITIES)}")
        rules.append(Rule(QUANTITIES[name], parse_limit(value, QUANTITIES[name]), None, (name,)))
    return tuple(rules)


def _budget(key: str, rules: tuple[Rule, ...]) -> Budget:
    return Budget(key, key, {}, (), rules, allow_unknown=False, keys=())


def _measured(report: Report, key: str, rules: tuple[Rule, ...]) -> Measured:
    return of_budget(_budget(key, rules), report)


def _complaints(check: Check, report: Report) -> list[str]:
    """Return lines on the limits that the only model violates, on its biggest layers, and on its changes."""
    (model,) = check.models
    failed = [judged for judged in model.judged if not judged.passes]
    lines = [words.complaint(model, judged) for judged in failed]
    for name in dict.fromkeys(judged.rule.quantity.name for judged in failed):
        lines += _biggest(report, name)
    return [*lines, *(_changes_since_snapshot(model.diff) if model.diff else [])]


def _require_unchanged(key: str, diff: Diff) -> None:
    """Raise unless every module's figures are unchanged."""
    __tracebackhide__ = True
    if diff.old.inputs != diff.new.inputs:
        raise ComplexityError(
            f"{key}: the snapshot is for input {diff.old.input_text}, but the input is {diff.new.input_text}"
        )
    changed = [change for change in diff.changes if any(change.delta(name) for name in SUMMED) or change.reasons]
    if not changed:
        return
    differences = list(words.figure_changes(diff)) or ["the totals are the same"]
    lines = [
        f"{key}: the model has changed; if that is intended, run pytest --complexity-update",
        *(f"  {text}" for text in differences),
    ]
    for change in changed[:_MAX_LISTED]:
        deltas = {name: change.delta(name) for name in FIGURES}
        figures = ", ".join(f"{words.signed(delta)} {words.NAMES[name]}" for name, delta in deltas.items() if delta)
        lines.append(f"  {change.place or key}: {words.change_of(change)}" + (f", {figures}" if figures else ""))
    if len(changed) > _MAX_LISTED:
        lines.append(f"  and {len(changed) - _MAX_LISTED} more modules")
    raise ComplexityError("\n".join(lines))


def explain(op: str, figure: Figure, right: object) -> list[str]:
    """Return lines that explain why `figure op right` is false: the difference, the biggest layers, the changes."""
    quantity, result = figure.quantity, figure.result
    difference = ""
    if isinstance(right, (int, float)) and right and isfinite(right):
        part = Fraction(int(figure)) / Fraction(right) - 1
        difference = f", {words.percent(abs(part))} {'more' if part > 0 else 'less'}"
    shown = show_exact(int(figure), quantity.unit)
    lines = [f"{quantity.heading} of {result.report.model}: {shown} {op} {right!r}{difference}"]
    lines += _biggest(result.report, quantity.name)
    if result.old is not None:
        new = _measured(result.report, result.report.model, ()).snapshot
        lines += _changes_since_snapshot(Diff(result.old, new)) if new is not None else []
    return lines


def _biggest(report: Report, name: str) -> list[str]:
    """Return lines on the layers that contribute most to a figure; empty for figures that layers don't add up to."""
    if name not in {"params", "trainable_params", "macs", "flops"}:
        return []

    def weight(layer: Layer) -> int:
        return int(getattr(layer, name))

    whole = sum(map(weight, report.layers))
    ranked = sorted(report.layers, key=weight, reverse=True)[:_MAX_LISTED]
    heading = QUANTITIES[name].heading
    rows = [
        f"  {layer.label or '(the model itself)'} ({layer.class_name}): {units.compact(weight(layer))} {heading}, "
        f"{units.share(weight(layer), whole)}"
        for layer in ranked if weight(layer)
    ]  # fmt: skip
    return [f"the biggest layers by {heading}:", *rows] if rows else []


def _changes_since_snapshot(diff: Diff) -> list[str]:
    changes = list(words.figure_changes(diff))
    return ["since the snapshot:", *(f"  {line}" for line in changes)] if changes else ["the same as in the snapshot"]
