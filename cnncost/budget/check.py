"""Checks figures against limits: within, over, or uncertain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import NamedTuple

from cnncost import units
from cnncost.budget.diff import Diff
from cnncost.budget.file import Budget, BudgetError, BudgetFile, Rule
from cnncost.budget.lock import Entry, Lock, torch_version
from cnncost.budget.measure import Measured, stored_values
from cnncost.budget.quantities import QUANTITIES, Quantity, Value
from cnncost.budget.snapshot import SUMMED, Snapshot
from cnncost.garbage import gc_disabled
from cnncost.reprs import line


class Outcome(StrEnum):
    """Result of checking a limit. Uncertain: the figure omits ops or temporaries, which could change the result."""

    WITHIN = "within"
    OVER = "over"
    UNCERTAIN = "uncertain"


class Judged(NamedTuple):
    """A checked limit.

    Attributes:
        path: the module that decides the outcome: the one with the worst outcome, then the least headroom; `""` for the
            model.
        modules: number of modules that the limit applies to; 0 for a limit on the model.
        used, bound: the figure and its bound.
        baseline: the previous figure; None without one.
        allowed: whether an uncertain outcome passes.
        line: the limit's line in the budget file; None if it passes, or if the line is not known.
        partial: whether the figure leaves out ops without a rule, or unknown temporaries.
        baseline_partial: whether the previous figure does, and so the bound of a relative limit.
    """

    rule: Rule
    outcome: Outcome
    path: str
    modules: int
    used: Value
    bound: Value
    baseline: Value | None
    allowed: bool
    line: int | None
    partial: bool = False
    baseline_partial: bool = False

    def __repr__(self) -> str:
        rule = f"{self.rule.quantity.name} {self.rule.limit.text}{f' in {self.path}' if self.path else ''}"
        return line(self, f"{rule}: {self.outcome}, uses {self.used}")

    @property
    def passes(self) -> bool:
        """Whether the limit passes the check."""
        return self.outcome is Outcome.WITHIN or (self.outcome is Outcome.UNCERTAIN and self.allowed)

    @property
    def headroom(self) -> Fraction | None:
        """Remaining fraction of the bound, negative if over; None if infinite or undefined."""
        return self.rule.limit.headroom(self.used, self.bound)


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """A budget, its judged limits, and the changes since the baseline; or `error`, the reason why it has no figures.

    Attributes:
        unknown: ops without a rule, and how often each ran.
        line: if there is an `error`, the line of the budget's `model` key in its file; None if not known.
        against: a description of the baseline, if it differs from the other models'; else empty.
        unseen: ops whose temporaries are unknown, if a limit depends on them.
    """

    budget: Budget
    judged: tuple[Judged, ...] = ()
    diff: Diff | None = None
    snapshot: Snapshot | None = None
    unknown: tuple[tuple[str, int], ...] = ()
    error: str = ""
    line: int | None = None
    against: str = ""
    unseen: tuple[str, ...] = ()

    def __repr__(self) -> str:
        passed = sum(judged.passes for judged in self.judged)
        return f"<ModelCheck of {self.budget.name}: {self.error[:80] or f'{passed} of {len(self.judged)} limits kept'}>"


@dataclass(frozen=True, slots=True)
class Check:
    """All budgets of a file, judged."""

    file: BudgetFile
    models: tuple[ModelCheck, ...]
    baseline: Path | None
    """None if there is none yet."""
    revision: str = ""
    """The git revision at which the baseline was measured; empty if it was read from a file."""

    def __repr__(self) -> str:
        verdict = {0: "within", 1: "over or uncertain", 2: "a model is broken"}[self.exit_code]
        return f"<Check of {units.counted(len(self.models), 'model')} in {self.file.path.name}: {verdict}>"

    @property
    def exit_code(self) -> int:
        """0: all limits pass; 1: one doesn't, because it is over or uncertain; 2: a model is broken."""
        if any(model.error for model in self.models):
            return 2
        return 0 if all(judged.passes for model in self.models for judged in model.judged) else 1


@gc_disabled()
def check(
    file: BudgetFile,
    measured: Sequence[Measured],
    lock: Lock | None,
    *,
    since: Lock | None = None,
    allow_unknown: bool = False,
    revision: str = "",
    absent: Mapping[str, str] | None = None,
) -> Check:
    """Judge every limit.

    Args:
        file: the budgets.
        measured: results for all or some of the file's models.
        lock: the baseline for relative limits; None if there is none.
        since: the baseline for reporting changes; None: `lock`.
        allow_unknown: let uncertain outcomes pass, whatever the budgets say.
        revision: the git revision at which `lock` was measured; empty if it was read from the baseline's file.
        absent: the reason why a model has no figures at `revision`, by the budget's name; its figures in `lock` are
            then from the baseline's file.

    Raises:
        BudgetError: a limit is relative to a figure that the baseline lacks, or the baseline is for other inputs.
    """
    by_name = {budget.name: budget for budget in file.budgets}
    locks = lock, since or lock
    absent = absent or {}
    models = tuple(_model(file, by_name[each.name], each, locks, allow_unknown, revision, absent) for each in measured)
    models = tuple(_with_source_of_baseline(file, model, revision, absent) for model in models)
    return Check(file, models, file.baseline if lock is not None else None, revision)


def new_baseline(measured: Sequence[Measured], kept: Lock | None = None) -> Lock:
    """Return a baseline with these figures; models that were not measured are copied from `kept`.

    Raises:
        BudgetError: a model is broken.
    """
    broken = [each for each in measured if each.error]
    if broken:
        reasons = "; ".join(each.error for each in broken)
        some = f"{len(broken)} of {len(measured)}"
        raise BudgetError(f"the baseline is not updated, because {some} models are broken: {reasons}")
    models = dict(kept.models) if kept is not None else {}
    return Lock(torch_version(), models | {each.name: _entry(each) for each in measured})


def check_baselines(file: BudgetFile, lock: Lock | None, names: Sequence[str] = (), revision: str = "") -> None:
    """Check that the baseline has every model with a relative limit.

    Args:
        file: the budgets.
        lock: the baseline; None if there is none.
        names: names of the budgets to judge; empty: all.
        revision: the git revision at which the baseline was measured; empty if it was read from its file.

    Raises:
        BudgetError: a limit is relative to the baseline, which has no figures for its model.
    """
    for budget in file.budgets:
        chosen = not names or budget.name in names
        if chosen and budget.relative and (lock is None or budget.name not in lock.models):
            raise _no_baseline(file, budget, lock, revision)


def _entry(measured: Measured) -> Entry:
    assert measured.snapshot is not None  # `new_baseline` rejects broken models
    return Entry(measured.snapshot, stored_values(measured.values))


def _model(
    file: BudgetFile, budget: Budget, measured: Measured, locks: tuple[Lock | None, Lock | None], allow_unknown: bool,
    revision: str, absent: Mapping[str, str],
) -> ModelCheck:  # fmt: skip
    """Judge a model's limits against the first of the two baselines, and compare it with the second."""
    lock, since = locks
    if measured.snapshot is None:
        return ModelCheck(budget, error=measured.error, line=file.line((*budget.keys, "model")))
    entry = lock.models.get(budget.name) if lock is not None else None
    if entry is None and budget.relative:
        raise _no_baseline(file, budget, lock, revision)
    if entry is not None and entry.snapshot.inputs != measured.snapshot.inputs:
        # a revision is measured with the budget's inputs; so the budget has none, and the model's default has changed
        at_revision = revision and budget.name not in absent
        remedy = f"state its input in {file.path.name}" if at_revision else "recreate it with cnncost check --update"
        raise BudgetError(
            f"{revision if at_revision else file.baseline}: {budget.name} was measured with "
            f"{entry.snapshot.input_text}, and the budget now has {measured.snapshot.input_text}; {remedy}"
        )
    allowed = allow_unknown or budget.allow_unknown
    baseline = _Baseline(entry, Diff(entry.snapshot, measured.snapshot)) if entry is not None else None
    old = since.models.get(budget.name) if since is not None else None
    comparable = old is not None and old.snapshot.inputs == measured.snapshot.inputs
    diff = Diff(old.snapshot, measured.snapshot) if old is not None and comparable else None
    judged = tuple(_judge(file, rule, measured, baseline, allowed) for rule in budget.rules)
    return ModelCheck(budget, judged, diff, measured.snapshot, tuple(measured.unknown.items()), unseen=measured.unseen)


def _with_source_of_baseline(
    file: BudgetFile, model: ModelCheck, revision: str, absent: Mapping[str, str]
) -> ModelCheck:
    """Return the check, with `against` set if the revision has no figures for the model and the file's were used."""
    name = model.budget.name
    if name not in absent or model.diff is None:
        return model
    return replace(model, against=f"{file.baseline.name}, because {revision} has no figures for it: {absent[name]}")


def _no_baseline(file: BudgetFile, budget: Budget, lock: Lock | None, revision: str) -> BudgetError:
    rule = next(rule for rule in budget.rules if rule.limit.relative)
    if revision:
        return BudgetError(
            f"{file.place(rule.keys)}: {rule.quantity.name} {rule.limit.text!r} is relative to a baseline, but neither "
            f"{revision} nor {file.baseline.name} has figures for {budget.name!r}; give it an absolute limit first"
        )
    lacks = f"there is no {file.baseline.name}" if lock is None else f"{file.baseline.name} has no {budget.name!r}"
    return BudgetError(
        f"{file.place(rule.keys)}: {rule.quantity.name} {rule.limit.text!r} is relative to a baseline, but {lacks}; "
        "create it with cnncost check --update"
    )


def _judge(file: BudgetFile, rule: Rule, measured: Measured, baseline: _Baseline | None, allowed: bool) -> Judged:
    """Return the result for the module with the worst outcome and, among those, the least headroom."""
    paths = measured.paths[rule.glob] if rule.glob is not None else ("",)
    each = [_judge_module(file, rule, path, measured, baseline, allowed) for path in paths]
    worst = min(each, key=lambda j: (_SEVERITY.index(j.outcome), inf if j.headroom is None else j.headroom))
    line = None if worst.passes else file.line(rule.keys)  # only on demand: it parses the file several times
    return worst._replace(modules=len(paths) if rule.glob is not None else 0, line=line)


_SEVERITY = (Outcome.OVER, Outcome.UNCERTAIN, Outcome.WITHIN)
"""The outcomes, worst first."""


def _judge_module(
    file: BudgetFile, rule: Rule, path: str, measured: Measured, baseline: _Baseline | None, allowed: bool
) -> Judged:
    limit, quantity = rule.limit, rule.quantity
    used = measured.values[path, quantity.name, limit.direction]
    before = baseline.value(path, quantity.name) if baseline is not None else None
    if before is None and limit.relative:
        raise BudgetError(
            f"{file.place(rule.keys)}: {quantity.name} {limit.text!r} of {path or measured.name!r}: the baseline has "
            "no such figure; recreate it with cnncost check --update"
        )
    bound = limit.bound(before)
    partial = (quantity.bounded and path in measured.unsure) or (quantity.temporaries and bool(measured.unseen))
    baseline_partial = baseline is not None and baseline.leaves_out(path, quantity)
    outcome = outcome_of(rule, used, bound, partial, limit.relative and baseline_partial)
    return Judged(rule, outcome, path, 0, used, bound, before, allowed, None, partial, baseline_partial)


def outcome_of(rule: Rule, used: Value, bound: Value, partial: bool, bound_partial: bool) -> Outcome:
    """Return the outcome of a limit, if the figure or the bound may leave out ops without a rule or temporaries.

    The true sum can only be larger then, so a sum that exceeds a limit certainly does; so can the true bound, which is
    relative to a baseline. The true ratio may be larger or smaller, because both FLOPs and bytes are missing.
    """
    holds = rule.limit.holds(used, bound)
    if partial or bound_partial:
        upper = rule.limit.comparison in {"<=", "<"}
        # whether the outcome is certain, however much larger the true figure, or the true bound, is
        decided_by_figure = used > bound if rule.limit.comparison == "==" else holds is not upper
        decided_by_bound = used < bound if rule.limit.comparison == "==" else holds is upper
        decided = (decided_by_figure or not partial) and (decided_by_bound or not bound_partial)
        if not rule.quantity.grows or not decided:
            return Outcome.UNCERTAIN
    return Outcome.WITHIN if holds else Outcome.OVER


class _Baseline(NamedTuple):
    """A model's baseline entry and the mapping between its old and new modules."""

    entry: Entry
    diff: Diff

    def leaves_out(self, path: str, quantity: Quantity) -> bool:
        """Return whether a module's previous figure leaves out ops without a rule, or unknown temporaries."""
        snapshot = self.entry.snapshot
        ops = quantity.bounded and self._old(path) in snapshot.partial_paths
        return ops or (quantity.temporaries and snapshot.unseen)

    def _old(self, path: str) -> str:
        """Return a module's previous path; the path itself for a new module."""
        return path if path in self.entry.snapshot.by_path else self.diff.back.get(path, path)

    def value(self, path: str, quantity: str) -> Value | None:
        """Return the previous figure of a module, even if it was renamed; None if the baseline lacks the figure.

        Figures that add up are 0 for a module that did not exist.
        """
        old = self._old(path)
        if quantity in SUMMED or quantity == "arithmetic_intensity":
            sums = self.entry.snapshot.sums.get(old, dict.fromkeys(SUMMED, 0))
            nbytes = sums["bytes_read"] + sums["bytes_written"]
            return sums[quantity] if quantity in SUMMED else Fraction(sums["flops"], nbytes) if nbytes else 0
        stored = self.entry.values.get(quantity)
        if stored is None:
            return None
        adds_up = QUANTITIES[quantity].modules and QUANTITIES[quantity].unit in {"count", "bytes"}
        return stored.get(old, 0 if adds_up and old not in self.entry.snapshot.by_path else None)
