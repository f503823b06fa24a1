"""A check as a document: a row for each limit, the failing limits, and the layers that changed since the baseline."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any

from cnncost import units
from cnncost.budget.check import Check, Judged, ModelCheck, Outcome
from cnncost.budget.diff import FIGURES, Diff
from cnncost.budget.quantities import Value, show
from cnncost.budget.render import words
from cnncost.budget.render.diff import layers, renamed
from cnncost.garbage import gc_disabled
from cnncost.render.document import (
    Cell,
    Column,
    Document,
    Heading,
    Narrowing,
    Note,
    Notes,
    Part,
    Table,
    data_table,
    notes,
    rows,
)

_SIGN = {Outcome.WITHIN: "✅", Outcome.OVER: "❌", Outcome.UNCERTAIN: "❔"}
_OUTCOME_TEXT = {Outcome.WITHIN: "✓ within", Outcome.OVER: "✗ over", Outcome.UNCERTAIN: "? uncertain"}
_MAX_LAYERS = 8
"""Maximum number of changed layers that are listed."""


@gc_disabled()
def document(check: Check) -> Document:
    """Return the document that all formats show, from the terminal to a comment on a pull request."""
    passes = check.exit_code == 0
    baseline = f"baseline {check.revision or check.baseline.name}" if check.baseline else "no baseline yet"
    summary = words.summary(check)
    parts: list[Part] = [
        *([_limits(check)] if any(model.judged for model in check.models) else []),
        *_section("since the baseline", (Note(text) for text in _changes_in_words(check)), "text"),
        *_section("not within", _failures(check), "people"),
        *_section("figures of one run", _dependencies(check), "people"),
        *_section("another baseline", _other_baselines(check), "people"),
        *(part for model in check.models for part in _changes_in_layers(model)),
        Notes(words.SIGNS, apart=False),
        notes(summary, style="within" if passes else "over", shown="text"),
        _data(check),
    ]
    return Document(
        "check",
        f"{_SIGN[Outcome.WITHIN if passes else Outcome.OVER]} Complexity: {summary}",
        headline=f"{check.file.path.name}: {units.counted(len(check.models), 'model')}, {baseline}",
        facts=_facts(check),
        parts=tuple(parts),
        level=3,
    )


def _limits(check: Check) -> Table:
    columns: tuple[Column, ...] = (
        Column("model", "model", least=10, once=True),
        Column("limited", "limited", shown="text", least=16),
        Column("on", "limited", shown="markup"),
        Column("old", "old", "figure", "markup"),
        Column("used", "used", "figure"),
        Column("delta", "delta", "figure", "markup"),
        Column("limit", "limit", "figure"),
        Column("headroom", "headroom", "headroom", empty=units.NOTHING),
        Column("since", "since", "figure", "text", style="note"),
        Column("outcome", "", "text", "text"),
        Column("verdict", "", "text", "markup"),
    )
    judged = [(model, each) for model in check.models for each in model.judged]
    if not any(words.change_since_baseline(each) for _, each in judged):  # hide a column that would be empty
        columns = tuple(column._replace(shown="data") if column.name == "since" else column for column in columns)
    shown = rows(_limit_cells(model, each) for model, each in judged)
    return Table(columns, shown, narrowing=(Narrowing(("since",)),), shown="people")


def _limit_cells(model: ModelCheck, judged: Judged) -> tuple[Any, ...]:
    """Return the cells of a limit's row, in the order of the columns."""
    module, since_baseline = words.deciding_module(judged), words.change_since_baseline(judged)
    since_mark = words.since_mark(judged)
    old = "" if judged.baseline is None else show(judged.baseline, judged.rule.quantity.unit)
    allowed = ", allowed" if judged.passes and judged.outcome is Outcome.UNCERTAIN else ""
    limited = words.limited(judged)
    return (
        model.budget.name, limited, limited + (f" ({module})" if module else ""),
        Cell(old, words.baseline_mark(judged)), Cell(words.used(judged), words.used_mark(judged)),
        Cell(since_baseline or ("±0" if old else ""), since_mark), words.bound(judged),
        Cell(judged.headroom, "" if judged.headroom is None else words.headroom_mark(judged)),
        Cell(since_baseline, since_mark if since_baseline else ""),
        Cell(_OUTCOME_TEXT[judged.outcome] + allowed, style=judged.outcome.value),
        f"{_SIGN[judged.outcome]} {judged.outcome}{allowed}",
    )  # fmt: skip


def _section(heading: str, items: Iterator[Note], shown: Any) -> list[Part]:
    """Return a heading and its items; nothing if there are no items."""
    section_notes = tuple(items)
    if not section_notes:
        return []
    return [Heading(heading, shown=shown), Notes(section_notes, apart=False, shown=shown, first="  ", hang="    ")]


def _changes_in_words(check: Check) -> Iterator[str]:
    for model in check.models:
        if model.diff is None:
            continue
        yield from (f"{model.budget.name}: {text}" for text in words.figure_changes(model.diff))
        if moved := model.diff.moved:
            number_moved, (first,) = units.counted(len(moved), "module"), renamed(moved[:1])
            yield f"{model.budget.name}: {number_moved} renamed or moved: {first}" + (" …" if len(moved) > 1 else "")


def _changes_in_layers(model: ModelCheck) -> Iterator[Part]:
    """Yield the changes of the figures since the baseline, and the layers that caused them."""
    diff = model.diff
    if diff is None or not (diff.changes or diff.moved):
        return
    yield Heading(f"{model.budget.name} since the baseline", shown="markup")
    yield notes(
        *(list(words.figure_changes(diff)) or ["same figures"]), *renamed(diff.moved[:_MAX_LAYERS]), shown="markup"
    )
    yield from layers(diff, _MAX_LAYERS, "markup")


def _failures(check: Check) -> Iterator[Note]:
    for model in check.models:
        if model.error:
            yield Note(f"{_line(check, model.line)}{model.budget.name}: broken: {model.error}", "over")
        for judged in model.judged:
            if not judged.passes:
                yield Note(f"{_line(check, judged.line)}{words.complaint(model, judged)}", judged.outcome.value)


def _dependencies(check: Check) -> Iterator[Note]:
    """Yield notes on what figures depend on besides the inputs' shapes: another run may give different figures."""
    for model in check.models:
        if model.snapshot is not None:
            yield from (Note(f"{model.budget.name}: {text}", "uncertain") for text in model.snapshot.depends_on)


def _other_baselines(check: Check) -> Iterator[Note]:
    """Yield notes on models that are compared with a different baseline from the one in the headline."""
    for model in check.models:
        if model.against:
            yield Note(f"{model.budget.name}: against {model.against}", "uncertain")


def _line(check: Check, line: int | None) -> str:
    return f"{check.file.path.name}:{line}: " if line else f"{check.file.path.name}: "


def _facts(check: Check) -> dict[str, Any]:
    """Return what JSON contains besides the tables: the file, the baseline, the exit code, and each model's limits."""
    return {
        "file": str(check.file.path),
        "baseline": check.revision or str(check.baseline) if check.baseline else None,
        "exit_code": check.exit_code,
        "models": [_model(model) for model in check.models],
    }


def _model(model: ModelCheck) -> dict[str, Any]:
    data: dict[str, Any] = {"name": model.budget.name, "model": model.budget.model}
    if model.error:
        return data | {"error": model.error, "line": model.line}
    data["inputs"] = model.snapshot.inputs if model.snapshot else None
    data["depends_on"] = model.snapshot.depends_on if model.snapshot else ()
    data["limits"] = [_limit(judged) for judged in model.judged]
    data["unknown"] = dict(model.unknown)
    if model.unseen:
        data["unseen"] = model.unseen
    if model.against:
        data["against"] = model.against
    data["since_baseline"] = _changes(model.diff) if model.diff is not None else None
    return data


def _limit(judged: Judged) -> dict[str, Any]:
    return {
        "quantity": judged.rule.quantity.name,
        "modules": judged.rule.glob,
        "path": judged.path,
        "outcome": judged.outcome.value,
        "passes": judged.passes,
        "used": number(judged.used),
        "comparison": judged.rule.limit.comparison,
        "bound": number(judged.bound),
        "limit": judged.rule.limit.text,
        "baseline": None if judged.baseline is None else number(judged.baseline),
        "headroom": None if judged.headroom is None else float(judged.headroom),
        "partial": judged.partial,
        "baseline_partial": judged.baseline_partial,
    }


def _changes(diff: Diff) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for name in FIGURES:
        cause = diff.attribution(name)
        changes[name] = {"old": diff.old.totals[name], "new": diff.new.totals[name], "delta": diff.delta(name)}
        if cause is not None:
            changes[name] |= {"path": cause.path, "part": cause.part, "reasons": list(cause.reasons)}
    return changes


def number(value: Value) -> Any:
    """Return a value for JSON: an int if it is whole; `global` for a receptive field of the whole input."""
    if value == inf:
        return "global"
    return int(value) if value == int(value) else float(value)


def _data(check: Check) -> Table:
    """Return a table of all limits, for CSV; JSON has them by model, in the document's facts."""
    judged = [(model.budget.name, _limit(each)) for model in check.models for each in model.judged]
    return data_table(("model", *_COLUMNS), ((name, *limit.values()) for name, limit in judged))


_COLUMNS = (
    "quantity", "modules", "path", "outcome", "passes", "used", "comparison", "bound", "limit", "baseline", "headroom",
    "partial", "baseline_partial",
)  # fmt: skip
"""Keys of the objects that `_limit` returns."""
