"""Wording for figures, changes and modules, shared by all formats."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from math import inf

from cnncost import units
from cnncost.budget.check import Check, Judged, ModelCheck, Outcome
from cnncost.budget.diff import FIGURES, Change, Diff
from cnncost.budget.quantities import Unit, Value, show, show_exact
from cnncost.budget.snapshot import PEAKS, Snapshot
from cnncost.render import values
from cnncost.render.document import Note
from cnncost.report.columns import AT_LEAST, AT_MOST, NEITHER

MODEL = "(the model)"
"""Shown instead of the model's own path, which is empty."""
_VISIBLE = 100
"""A change in the opposite direction is mentioned if it is at least 1/`_VISIBLE` of the total change."""
NAMES = {"params": "params", "macs": "MACs", "flops": "FLOPs"}


def percent(part: Fraction | None) -> str:
    """Return a share as text, such as `0.3 %` or `12 %`; a dash for None."""
    return units.NOTHING if part is None else values.percent(part)


def signed(number: int, unit: Unit = "count") -> str:
    """Return a change with its sign, such as `+409 M`, `−1.20 k` or `±0`."""
    return values.signed(number, partial(show, unit=unit))


def used(judged: Judged) -> str:
    """Return the figure; it is shown exactly if it violates the limit, but three digits would look like the bound."""
    unit = judged.rule.quantity.unit
    return (show_exact if _looks_equal(judged) else show)(judged.used, unit)


def used_mark(judged: Judged) -> str:
    """Return the sign of a figure that leaves out ops without a rule or temporaries."""
    return _mark(judged) if judged.partial else ""


def baseline_mark(judged: Judged) -> str:
    """Return the sign of a previous figure that leaves out ops without a rule or temporaries."""
    return _mark(judged) if judged.baseline_partial else ""


def _mark(judged: Judged) -> str:
    return AT_LEAST if judged.rule.quantity.grows else NEITHER


def headroom_mark(judged: Judged) -> str:
    """Return the sign of a headroom whose figure, or whose limit by its baseline, leaves something out."""
    limit = judged.rule.limit
    if limit.relative and judged.baseline_partial:
        return NEITHER
    if not judged.partial:
        return ""
    if not judged.rule.quantity.grows or limit.comparison == "==":
        return NEITHER
    return AT_MOST if limit.direction == "<=" else AT_LEAST


def since_mark(judged: Judged) -> str:
    """Return the sign of a change since the baseline: neither bound if something is missing on a side."""
    return NEITHER if judged.baseline is not None and (judged.partial or judged.baseline_partial) else ""


def bound(judged: Judged) -> str:
    """Return the limit, such as `≤ 4.10 G`."""
    unit, limit = judged.rule.quantity.unit, judged.rule.limit
    text = (show_exact if _looks_equal(judged) else show)(judged.bound, unit)
    return f"{limit.sign} {NEITHER * (limit.relative and judged.baseline_partial)}{text}"


def _looks_equal(judged: Judged) -> bool:
    """Return whether the limit is violated, but three digits don't show that."""
    unit, violated = judged.rule.quantity.unit, not judged.rule.limit.holds(judged.used, judged.bound)
    return violated and show(judged.used, unit) == show(judged.bound, unit)


def change_since_baseline(judged: Judged) -> str:
    """Return the change since the baseline; empty if there is none."""
    if judged.baseline is None or judged.baseline == judged.used:
        return ""
    if not isinstance(judged.baseline, int) or not isinstance(judged.used, int):
        return f"from {show(judged.baseline, judged.rule.quantity.unit)}"
    return signed(judged.used - judged.baseline, judged.rule.quantity.unit)


def limited(judged: Judged) -> str:
    """Return the limited quantity and, if the limit is on modules, their glob: `MACs`, or `MACs in layer4.*`."""
    heading = judged.rule.quantity.heading
    return heading if judged.rule.glob is None else f"{heading} in {judged.rule.glob}"


def deciding_module(judged: Judged) -> str:
    """Return the deciding module, such as `layer4.0, the worst of 3`.

    Empty if the limit is on the model, or names exactly this module.
    """
    if not judged.modules or judged.path == judged.rule.glob:
        return ""
    return judged.path + (f", the worst of {judged.modules}" if judged.modules > 1 else "")


def complaint(model: ModelCheck, judged: Judged) -> str:
    """Return a sentence about a limit that fails."""
    unit = judged.rule.quantity.unit
    place = judged.path if judged.modules else model.budget.name
    figure = f"{judged.rule.quantity.heading} of {place}"
    limit = judged.rule.limit
    bound_text = f"{limit.sign} {_distinct_from_used(judged, judged.bound)}"
    if limit.relative and judged.baseline is not None:
        baseline = f"{_qualifier(judged, judged.baseline_partial)}{_distinct_from_used(judged, judged.baseline)}"
        bound_text += f" (baseline {baseline} {limit.text})"
    figure = f"{figure}: {_qualifier(judged, judged.partial)}{show_exact(judged.used, unit)}, limit {bound_text}"
    if judged.outcome is Outcome.UNCERTAIN:
        return f"{figure}: uncertain, because {_why_uncertain(model, judged)}"
    return f"{figure}: {_violation(judged)}"


def _qualifier(judged: Judged, partial: bool) -> str:
    """Return what precedes a figure in a sentence."""
    return "" if not partial else "at least " if judged.rule.quantity.grows else NEITHER


def _why_uncertain(model: ModelCheck, judged: Judged) -> str:
    """Return what is missing in the figure and in the baseline, and what to do."""
    missing, advice = [], "set allow_unknown to let it pass"
    if judged.partial and model.unknown:
        ops = ", ".join(f"{op} {count}×" for op, count in model.unknown)
        missing.append(f"ops have no rule ({ops})")
        advice = "add rules, or set allow_unknown"
    elif judged.partial:
        missing.append(f"it is not known what {', '.join(model.unseen)} allocates")
    if judged.baseline_partial and judged.rule.limit.relative:
        missing.append("the baseline leaves out ops without a rule, or what ops allocate while they run")
    return f"{', and '.join(missing)}; {advice}"


def _distinct_from_used(judged: Judged, value: Value) -> str:
    """Return a value to show next to the figure: exactly if it would otherwise look like the figure."""
    unit = judged.rule.quantity.unit
    same = show(value, unit) == show(judged.used, unit)
    return show_exact(value, unit) if same else show(value, unit)


def _violation(judged: Judged) -> str:
    """Return by how much a limit is violated, such as `over by 5.8 %` or `under by 12 %`."""
    used, bound = judged.used, judged.bound
    if used == bound:
        return f"it has to be {'less' if judged.rule.limit.direction == '<=' else 'more'}"
    return f"{'over' if used > bound else 'under'} by {_distance(judged)}"


def _distance(judged: Judged) -> str:
    if judged.headroom:
        return percent(abs(judged.headroom))
    if inf in {judged.used, judged.bound}:
        return "any measure"
    return show_exact(abs(Fraction(judged.used) - Fraction(judged.bound)), judged.rule.quantity.unit)


def figure_changes(diff: Diff) -> Iterator[str]:
    """Yield a line for each changed figure: the change, and the layers that caused most of it."""
    for name in FIGURES:
        delta = diff.delta(name)
        if delta:
            old, new = diff.old.totals[name], diff.new.totals[name]
            unsure = f"; can be {_EITHER}" if change_mark(diff, name) else ""
            yield f"{signed(delta)} {NAMES[name]} ({values.growth((old, new))}){attributed(diff, name)}{unsure}"


_EITHER = "larger or smaller, as ops without a rule are missing"
_MISSING = "as ops without a rule, or unknown temporaries, are missing"
SIGNS = (
    Note(f"{AT_LEAST}: a lower bound, {_MISSING}", "note", sign=AT_LEAST),
    Note(f"{AT_MOST}: an upper bound, {_MISSING}", "note", sign=AT_MOST),
    Note(f"{NEITHER}: can be larger or smaller, {_MISSING}", "note", sign=NEITHER),
)
"""Notes that explain the signs of figures and changes, each for a document whose tables have the sign."""


def side_mark(snapshot: Snapshot, name: str) -> str:
    """Return the sign of a figure: a lower bound if it leaves out ops or temporaries; parameters are always exact."""
    partial = snapshot.lower_bound or (snapshot.unseen and name in PEAKS)
    return AT_LEAST if partial and name != "params" else ""


def change_mark(diff: Diff, name: str) -> str:
    """Return the sign of a figure's change: neither bound if ops or temporaries are missing on a side."""
    return NEITHER if side_mark(diff.old, name) or side_mark(diff.new, name) else ""


def attributed(diff: Diff, name: str) -> str:
    """Return the attribution of a change: `: 83 % in stage3 (kernel 3→5)`; empty if nothing is attributed.

    If other modules changed in the opposite direction: `: 99 % of −15.5 G in features (removed), +3.86 G elsewhere`.
    """
    cause = diff.attribution(name)
    if cause is None:
        return ""
    reasons = f" ({', '.join(cause.reasons)})" if cause.reasons else ""
    if not cause.path:
        parts = contributions(diff, name, 3)
        return f": {parts}{reasons}" if parts else reasons
    share = units.share(abs(cause.part), abs(cause.whole))
    if abs(cause.against) * _VISIBLE < abs(diff.delta(name)):
        return f": {share} in {cause.path}{reasons}"
    return f": {share} of {signed(cause.whole)} in {cause.path}{reasons}, {signed(cause.against)} elsewhere"


def contributions(diff: Diff, name: str, max_listed: int) -> str:
    """Return the changes by child of the model, which add up to the total: `layer3 +1.00 G and 2 more +0.1 G`."""
    steps: dict[str, int] = {}
    for change in diff.changes:
        first = change.place.partition(".")[0]
        steps[first] = steps.get(first, 0) + change.delta(name)
    ranked = sorted(((step, place) for place, step in steps.items() if step), key=lambda s: -abs(s[0]))
    listed = [f"{place or 'its own forward'} {signed(step)}" for step, place in ranked[:max_listed]]
    rest = ranked[max_listed:]
    more = f" and {len(rest)} more {signed(sum(step for step, _ in rest))}" if rest else ""
    return ", ".join(listed) + more


def change_of(change: Change) -> str:
    """Return what changed in a module; `its input` if the module itself has not changed."""
    return change.what or "its input"


def summary(check: Check) -> str:
    """Return a summary, such as `5 limits: 3 within, 1 over, 1 uncertain`."""
    judged = [each for model in check.models for each in model.judged]
    counts = {outcome: sum(each.outcome is outcome for each in judged) for outcome in Outcome}
    parts = [f"{count} {outcome}" for outcome, count in counts.items() if count]
    broken = sum(bool(model.error) for model in check.models)
    parts += [units.counted(broken, "broken model")] if broken else []
    return f"{units.counted(len(judged), 'limit')}: {', '.join(parts)}"
