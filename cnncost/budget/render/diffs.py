"""The differences of all models in a budget file, as one document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cnncost import units
from cnncost.budget.diff import FIGURES, Diff
from cnncost.budget.quantities import QUANTITIES, Unit, show_exact
from cnncost.budget.render import words
from cnncost.budget.render.diff import changes, facts, inputs, layers, renamed, style
from cnncost.budget.snapshot import PEAKS
from cnncost.render.document import Cell, Column, Document, Heading, Notes, Part, Row, Table, notes

FIGURE_NAMES = {**words.NAMES, "inference_peak": "inference peak", "training_peak": "training peak"}
_MAX_MOVED = 12
"""Maximum number of renamed or moved modules that are listed for a model."""


def document(
    diffs: Mapping[str, Diff], missing: Mapping[str, str], names: tuple[str, str], max_layers: int, headline: str
) -> Document:
    """Return a document: the figures of the changed models, the unchanged models, then the causes of each change.

    Args:
        diffs: the differences by the budget's name.
        missing: the reason why a budget lacks figures on one side, by its name.
        names: names of the old and the new side.
        max_layers: maximum number of layers listed for each model.
        headline: the second part of the title, such as the file and the number of models.
    """
    changed = {name: diff for name, diff in diffs.items() if differs(diff)}
    same = [f"{name} ({diff.new.input_text})" for name, diff in diffs.items() if name not in changed]
    parts: list[Part] = [
        *([_figures(changed)] if changed else []),
        notes(f"the same, module by module: {', '.join(same)}" if same else "", style="shrank"),
        notes(*(f"{name}: {reason}" for name, reason in missing.items()), style="warning"),
        *(part for name, diff in changed.items() for part in _causes(name, diff, max_layers)),
        Notes(words.SIGNS, apart=False),
        changes((((name,), diff) for name, diff in diffs.items()), "model"),
    ]
    models = [
        {"name": name, **facts(diff, [figure for figure, _, _ in shared_figures(diff)])} for name, diff in diffs.items()
    ]
    data = {"old": names[0], "new": names[1], "models": models, "missing": dict(missing)}
    return Document("diff", f"{names[0]} → {names[1]}", headline=headline, facts=data, parts=tuple(parts), level=3)


def differs(diff: Diff) -> bool:
    """Return whether a module, a figure or the inputs changed."""
    return bool(diff.changes) or diff.old.inputs != diff.new.inputs or any(_changed(diff, name) for name in PEAKS)


def _changed(diff: Diff, name: str) -> bool:
    """Return whether a figure is known on both sides and differs between them."""
    old, new = diff.old.totals.get(name), diff.new.totals.get(name)
    return old is not None and new is not None and old != new


def shared_figures(diff: Diff) -> Iterator[tuple[str, int, int]]:
    """Yield the name, old and new value of each figure that both sides have."""
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
    table_rows = []
    for name, diff in diffs.items():
        for figure, old, new in shared_figures(diff):
            unit, delta = QUANTITIES[figure].unit, new - old
            mark = words.change_mark(diff, figure)
            change = (
                Cell(words.signed(delta, unit), mark, style=style(delta)),
                Cell((old, new), mark, style=style(delta)),
            )
            sides = [_side(diff, side, figure, unit) for side in ("old", "new")]
            table_rows.append(Row((name, diff.new.inputs, FIGURE_NAMES[figure], *sides, *change)))
    return Table(columns, tuple(table_rows), shown="people", optional=("input",))


def _side(diff: Diff, side: str, figure: str, unit: Unit) -> Cell:
    snapshot = getattr(diff, side)
    value = snapshot.totals[figure]
    text = units.data(value) if unit == "bytes" else show_exact(value, unit)
    return Cell(text, words.side_mark(snapshot, figure))


def _causes(name: str, diff: Diff, max_layers: int) -> Iterator[Part]:
    yield Heading(name)
    yield notes(inputs(diff), style="warning" if diff.old.inputs != diff.new.inputs else "note")
    yield notes(*words.figure_changes(diff), style="heading")
    yield from layers(diff, max_layers)
    if diff.moved:
        yield notes(*(f"renamed or moved: {text}" for text in renamed(diff.moved[:_MAX_MOVED])))
