"""A check as markdown that fits a pull-request comment: a table of limits, then what moved and which layers did it."""

from __future__ import annotations

from collections.abc import Iterator

from cnncost.budget.check import Check, Judged, ModelCheck, Outcome
from cnncost.budget.quantities import show
from cnncost.budget.render import words
from cnncost.render.layout import printable

_SIGN = {Outcome.WITHIN: "✅", Outcome.OVER: "❌", Outcome.UNCERTAIN: "❔"}
_MOST = 8
"""So many layers of a change are listed."""


def to_markdown(check: Check) -> str:
    """The whole comment."""
    sign = _SIGN[Outcome.WITHIN] if check.exit_code == 0 else _SIGN[Outcome.OVER]
    lines = [f"### {sign} Complexity: {words.summary(check)}", ""]
    if any(model.judged for model in check.models):
        lines.append("| model | limited | old | new | delta | limit | headroom | |")
        lines.append("|---|---|---:|---:|---:|---:|---:|---|")
        lines += [_row(model, judged) for model in check.models for judged in model.judged]
    for model in check.models:
        if model.error:
            lines += ["", f"**{text(model.budget.name)}** is broken: {text(model.error)}"]
        wrong = [judged for judged in model.judged if not judged.passes]
        lines += ["", *(f"- {text(words.complaint(model, judged))}" for judged in wrong)] if wrong else []
        lines += _moved(model)
    return "\n".join(lines) + "\n"


def _row(model: ModelCheck, judged: Judged) -> str:
    old = "" if judged.baseline is None else show(judged.baseline, judged.rule.quantity.unit)
    on = words.on(judged) + (f" ({where})" if (where := words.where(judged)) else "")
    delta = words.since(judged) or ("±0" if old else "")
    cells = (
        model.budget.name, on, old, words.used(judged), delta, words.bound(judged), words.percent(judged.headroom),
        f"{_SIGN[judged.outcome]} {judged.outcome}",
    )  # fmt: skip
    return f"| {' | '.join(text(cell) for cell in cells)} |"


def _moved(model: ModelCheck) -> Iterator[str]:
    """What changed since the baseline: figures, and the layers responsible."""
    diff = model.diff
    if diff is None or not (diff.changes or diff.moved):
        return
    yield from ("", f"**{text(model.budget.name)}** since the baseline:", "")
    told = list(words.moves(diff)) or ["same figures"]
    yield from (f"- {text(line)}" for line in told)
    yield from (
        f"- `{code(old or words.MODEL)}` is now `{code(new or words.MODEL)}`" for old, new in diff.moved[:_MOST]
    )
    layers = diff.contributors("macs", _MOST) or diff.contributors("params", _MOST)
    if layers:
        yield from ("", "| layer | what | MACs | params |", "|---|---|---:|---:|")
        for change in layers:
            macs, params = (words.signed(change.delta(name)) for name in ("macs", "params"))
            yield f"| `{code(change.place or words.MODEL)}` | {text(words.change_of(change))} | {macs} | {params} |"


def text(value: str) -> str:
    """Text that stands in a table as it is."""
    escaped = "".join(f"\\{char}" if char in "\\|*_`<>[]#" else char for char in printable(value))
    return escaped.replace("\n", " ")


def code(value: str) -> str:
    """Text between backticks in a table."""
    return printable(value).replace("`", "'").replace("|", "\\|")
