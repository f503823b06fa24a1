"""Differences of all models of a budget file, as one document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cnncost.budget.diff import FIGURES, Diff
from cnncost.budget.quantities import QUANTITIES, Unit, show_exact
from cnncost.budget.render import words
from cnncost.budget.render.diff import layers, renamed, style
from cnncost.render.document import Cell, Column, Document, Heading, Note, Notes, Part, Row, Table, notes, rows

PEAKS = ("inference_peak", "training_peak")
_NAMES = {**words.NAMES, "inference_peak": "inference peak", "training_peak": "training peak"}
_MOST_MOVED = 12


def document(
    diffs: Mapping[str, Diff], missing: Mapping[str, str], names: tuple[str, str], most: int, headline: str
) -> Document:
    """Figures of each model that changed, then why; and the models that did not.

    Args:
        diffs: by the budget's name.
        missing: budgets without figures on a side, and why.
        names: of the two sides.
        most: how many layers of a model are listed.
        headline: what the models are.
    """
    changed = {name: diff for name, diff in diffs.items() if differs(diff)}
    same = [f"{name} ({diff.new.told})" for name, diff in diffs.items() if name not in changed]
    parts: list[Part] = [
        *([_figures(changed)] if changed else []),
        notes(f"the same, module by module: {', '.join(same)}" if same else "", style="shrank"),
        Notes(tuple(Note(f"{name}: {reason}", "warning") for name, reason in missing.items())),
        *(part for name, diff in changed.items() for part in _why(name, diff, most)),
        _changes(diffs),
    ]
    facts = {
        "old": names[0], "new": names[1], "models": [_facts(name, diff) for name, diff in diffs.items()],
        "missing": dict(missing),
    }  # fmt: skip
    return Document("diff", f"{names[0]} → {names[1]}", headline=headline, facts=facts, parts=tuple(parts), level=3)


def differs(diff: Diff) -> bool:
    """Whether a module, a figure or the inputs changed."""
    return bool(diff.changes) or diff.old.inputs != diff.new.inputs or any(_step(diff, name) for name in PEAKS)


def _step(diff: Diff, name: str) -> tuple[int, int] | None:
    """A figure on both sides, if it is known and differs."""
    old, new = diff.old.totals.get(name), diff.new.totals.get(name)
    return (old, new) if old is not None and new is not None and old != new else None


def _known(diff: Diff) -> Iterator[tuple[str, int, int]]:
    for name in (*FIGURES, *PEAKS):
        old, new = diff.old.totals.get(name), diff.new.totals.get(name)
        if old is not None and new is not None:
            yield name, old, new


def _figures(diffs: Mapping[str, Diff]) -> Table:
    columns = (
        Column("model", "model", least=10, once=True),
        Column("input", "input", "tensors", once=True, style="note"),
        Column("figure", "figure"),
        Column("old", "old", "figure"),
        Column("new", "new", "figure"),
        Column("change", "change", "figure"),
        Column("growth", "", "growth"),
    )
    found = []
    for name, diff in diffs.items():
        for figure, old, new in _known(diff):
            unit, delta = QUANTITIES[figure].unit, new - old
            told = Cell(words.signed(delta, unit), style=style(delta)), Cell((old, new), style=style(delta))
            sides = [_side(diff, side, figure, unit) for side in ("old", "new")]
            found.append(Row((name, diff.new.inputs, _NAMES[figure], *sides, *told)))
    return Table(columns, tuple(found), shown="people", optional=("input",))


def _side(diff: Diff, side: str, figure: str, unit: Unit) -> Cell:
    snapshot = getattr(diff, side)
    mark = "≥" if snapshot.lower_bound and figure in {"macs", "flops"} else ""
    value = snapshot.totals[figure]
    from cnncost.units import data

    return Cell(data(value) if unit == "bytes" else show_exact(value, unit), mark)


def _why(name: str, diff: Diff, most: int) -> Iterator[Part]:
    yield Heading(name)
    if diff.old.inputs != diff.new.inputs:
        yield notes(f"inputs differ: {diff.old.told} and {diff.new.told}", style="warning")
    else:
        yield notes(f"input {diff.new.told}", style="note")
    yield Notes(tuple(Note(text, "heading") for text in words.moves(diff)))
    yield from layers(diff, most)
    if diff.moved:
        yield notes(*(f"renamed or moved: {text}" for text in renamed(diff.moved[:_MOST_MOVED])))


def _facts(name: str, diff: Diff) -> dict[str, Any]:
    data: dict[str, Any] = {"name": name, "inputs": {"old": diff.old.inputs, "new": diff.new.inputs}}
    for figure, old, new in _known(diff):
        data[figure] = {"old": old, "new": new, "delta": new - old}
        where = diff.attribution(figure) if figure in FIGURES else None
        if where is not None:
            data[figure]["attribution"] = {
                "path": where.path, "part": where.part, "of": where.whole, "against": where.against,
                "reasons": where.reasons,
            }  # fmt: skip
    return data


def _changes(diffs: Mapping[str, Diff]) -> Table:
    """All modules that changed, for machines."""
    columns = (
        Column("model"), Column("kind"), Column("old_path"), Column("new_path"), Column("what", kind="texts"),
        *(Column(name, kind="signed") for name in FIGURES),
    )  # fmt: skip
    found: Sequence[tuple[Any, ...]] = [
        (
            name, change.kind, change.old.path if change.old else None, change.new.path if change.new else None,
            change.reasons, *(change.delta(figure) for figure in FIGURES),
        )
        for name, diff in diffs.items() for change in diff.changes
    ]  # fmt: skip
    return Table(columns, rows(found), "changes", shown="data")
