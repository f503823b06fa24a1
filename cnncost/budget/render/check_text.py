"""A check as lines of a terminal: a line a limit, what moved since the baseline, what is over."""

from __future__ import annotations

from collections.abc import Iterator

from cnncost import units
from cnncost.budget.check import Check, Judged, ModelCheck
from cnncost.budget.render import words
from cnncost.render.layout import Cell, Field, Line, needed, table

LEAST_WIDTH = 60
_SIGN = {"within": "✓ within", "over": "✗ over", "uncertain": "? uncertain"}


def to_lines(check: Check, width: int) -> list[Line]:
    """Styled lines, none longer than `width`, which is 60 at least. Styles: title, heading, rule, outcomes, note."""
    width = max(width, LEAST_WIDTH)
    rows = [(model, judged) for model in check.models for judged in model.judged]
    baseline = f"baseline {check.baseline.name}" if check.baseline else "no baseline yet"
    title = f"{check.file.path.name}: {units.counted(len(check.models), 'model')}, {baseline}"
    lines: list[Line] = [[(title, "title")]]
    if rows:
        lines += [[], *table(_fields(rows, width), width)]
    lines += [*_section("since the baseline", _moved(check), width), *_section("not within", _wrong(check), width)]
    return [*lines, [], [(words.summary(check), _style(check))]]


def _fields(rows: list[tuple[ModelCheck, Judged]], width: int) -> list[Field]:
    """The columns; the change since the baseline only where there is room for it."""
    names = [
        "" if i and rows[i - 1][0] is model else model.budget.name for i, (model, _) in enumerate(rows)
    ]  # a name stands once
    right = [
        Field("used", [Cell(words.used(j)) for _, j in rows], right=True),
        Field("limit", [Cell(words.bound(j)) for _, j in rows], right=True),
        Field("headroom", [Cell(words.percent(j.headroom)) for _, j in rows], right=True),
    ]
    if any(words.since(j) for _, j in rows):
        right.append(Field("since", [Cell(words.since(j), "note") for _, j in rows], right=True))
    outcome = Field("", [Cell(_told(j), j.outcome.value) for _, j in rows])
    on = Field("limited", [Cell(words.on(j)) for _, j in rows], least=16)
    fields = [Field("model", [Cell(name) for name in names], least=10), on, *right, outcome]
    if needed(fields) > width and len(right) > 3:
        fields.remove(right[-1])
    return fields


def _told(judged: Judged) -> str:
    return _SIGN[judged.outcome] + (", allowed" if judged.passes and judged.outcome == "uncertain" else "")


def _moved(check: Check) -> Iterator[tuple[str, str]]:
    for model in check.models:
        if model.diff is not None:
            told = [*words.moves(model.diff), *_renamed(model)]
            yield from ((f"{model.budget.name}: {text}", "") for text in told)


def _renamed(model: ModelCheck) -> list[str]:
    assert model.diff is not None
    moved = model.diff.moved
    if not moved:
        return []
    old, new = (path or words.MODEL for path in moved[0])
    return [f"{units.counted(len(moved), 'module')} renamed or moved: {old} → {new}" + (" …" if len(moved) > 1 else "")]


def _wrong(check: Check) -> Iterator[tuple[str, str]]:
    for model in check.models:
        if model.error:
            yield f"{_line(check, model.line)}{model.budget.name}: broken: {model.error}", "over"
        for judged in model.judged:
            if not judged.passes:
                yield f"{_line(check, judged.line)}{words.complaint(model, judged)}", judged.outcome.value


def _line(check: Check, line: int | None) -> str:
    return f"{check.file.path.name}:{line}: " if line else f"{check.file.path.name}: "


def _section(heading: str, items: Iterator[tuple[str, str]], width: int) -> Iterator[Line]:
    """A heading and its items; nothing at all without items."""
    for number, (text, style) in enumerate(items):
        if not number:
            yield from ([], [(heading, "heading")])
        for line in words.wrapped(text, width, "  ", "    "):
            yield [(line, style)]


def _style(check: Check) -> str:
    return "within" if check.exit_code == 0 else "over"
