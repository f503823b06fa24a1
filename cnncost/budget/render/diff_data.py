"""A difference of two models as markdown, and as JSON."""

from __future__ import annotations

import json
from typing import Any

from cnncost import units
from cnncost.budget.diff import FIGURES, Diff
from cnncost.budget.render import words
from cnncost.budget.render.check_markdown import code, text

SCHEMA = 1


def to_markdown(diff: Diff, names: tuple[str, str], most: int = 12) -> str:
    """Totals, why, and the layers, for a pull request."""
    lines = [f"### {text(names[0])} → {text(names[1])}", "", "| | old | new | change | |", "|---|---:|---:|---:|---:|"]
    for name in FIGURES:
        old, new = diff.old.totals[name], diff.new.totals[name]
        change, part = words.signed(new - old), words.growth(old, new)
        lines.append(f"| {words.NAMES[name]} | {units.exact(old)} | {units.exact(new)} | {change} | {part} |")
    lines += ["", *(f"- {text(line)}" for line in words.moves(diff))]
    figure = "macs" if diff.contributors("macs", 1) else "params"
    changes = diff.contributors(figure, most)
    if changes:
        lines += ["", "| layer | what | MACs | params |", "|---|---|---:|---:|"]
        for each in changes:
            macs, params = (words.signed(each.delta(name)) for name in ("macs", "params"))
            lines.append(f"| `{code(each.place or words.MODEL)}` | {text(words.change_of(each))} | {macs} | {params} |")
    lines += (
        ["", *(f"- `{code(old or words.MODEL)}` is now `{code(new or words.MODEL)}`" for old, new in diff.moved[:most])]
        if diff.moved
        else []
    )
    return "\n".join(lines).rstrip() + "\n"


def to_json(diff: Diff, names: tuple[str, str]) -> str:
    """Everything, exact numbers."""
    data: dict[str, Any] = {"schema": SCHEMA, "old": names[0], "new": names[1]}
    data["inputs"] = {"old": diff.old.inputs, "new": diff.new.inputs}
    for name in FIGURES:
        where = diff.attribution(name)
        data[name] = {"old": diff.old.totals[name], "new": diff.new.totals[name], "delta": diff.delta(name)}
        if where is not None:
            data[name]["attribution"] = {
                "path": where.path, "part": where.part, "of": where.whole, "reasons": list(where.reasons),
            }  # fmt: skip
    data["changes"] = [
        {
            "kind": change.kind,
            "old_path": change.old.path if change.old else None,
            "new_path": change.new.path if change.new else None,
            "what": list(change.reasons),
            **{name: change.delta(name) for name in FIGURES},
        }
        for change in diff.changes
    ]
    data["moved"] = [{"old_path": old, "new_path": new} for old, new in diff.moved]
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"
