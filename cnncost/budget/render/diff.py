"""The difference between two models, as a document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cnncost import units
from cnncost.budget.diff import FIGURES, Change, Diff
from cnncost.budget.render import words
from cnncost.garbage import gc_disabled
from cnncost.render.document import (
    Cell,
    Column,
    Document,
    Heading,
    Note,
    Notes,
    Part,
    Row,
    Shown,
    Table,
    data_table,
    notes,
    rows,
)
from cnncost.report.columns import NEITHER

MAX_LAYERS = 12
"""Maximum number of layers that are listed."""


@gc_disabled()
def document(diff: Diff, names: tuple[str, str], max_layers: int = MAX_LAYERS) -> Document:
    """Return totals, the causes of their changes, the layers that changed most, and renamed or moved modules."""
    causes = list(words.figure_changes(diff))
    same = Note("the same, module by module", "shrank") if not causes and not diff.changes else Note("")
    parts: list[Part] = [
        notes(inputs(diff), style="note", listed=False, apart=False, hang=""),
        _totals(diff),
        Notes((*(Note(text, "heading") for text in causes), same)),
        notes(*dependencies(diff, names), style="warning"),
        *layers(diff, max_layers),
        Notes(words.SIGNS, apart=False),
        *_moved(diff, max_layers),
        changes((((), diff),)),
        data_table(("old_path", "new_path"), diff.moved, "moved"),
    ]
    data = {"old": names[0], "new": names[1], **facts(diff)}
    return Document("diff", f"{names[0]} → {names[1]}", facts=data, parts=tuple(parts), level=3)


def dependencies(diff: Diff, names: tuple[str, str]) -> list[str]:
    """Return lines on what figures depend on besides the inputs' shapes: another run may give different figures."""
    sides = zip(names, (diff.old, diff.new), strict=True)
    return [f"{name}: {text}" for name, snapshot in sides for text in snapshot.depends_on]


def inputs(diff: Diff) -> str:
    """Return a line with the inputs of both models."""
    if diff.old.inputs == diff.new.inputs:
        return f"input {diff.new.input_text}"
    return f"inputs differ: {diff.old.input_text} and {diff.new.input_text}"


def facts(diff: Diff, figures: Iterable[str] = FIGURES) -> dict[str, Any]:
    """Return the inputs and figures of both models, and the attribution of each figure's change."""
    data: dict[str, Any] = {"inputs": {"old": diff.old.inputs, "new": diff.new.inputs}}
    for name in figures:
        cause = diff.attribution(name) if name in FIGURES else None
        old, new = diff.old.totals[name], diff.new.totals[name]
        data[name] = {"old": old, "new": new, "delta": new - old}
        if cause is not None:
            data[name]["attribution"] = {
                "path": cause.path, "part": cause.part, "of": cause.whole, "against": cause.against,
                "reasons": cause.reasons,
            }  # fmt: skip
    return data


def _totals(diff: Diff) -> Table:
    columns = (
        Column("figure"),
        Column("old", "old", "count"),
        Column("new", "new", "count"),
        Column("change", "change", "signed"),
        Column("growth", "", "growth"),
    )
    shown = []
    for name in FIGURES:
        old, new, delta = diff.old.totals[name], diff.new.totals[name], diff.delta(name)
        mark, sides = words.change_mark(diff, name), (diff.old, diff.new)
        change = Cell(delta, mark, style=style(delta)), Cell((old, new), mark, style=style(delta))
        figures = (Cell(side.totals[name], words.side_mark(side, name)) for side in sides)
        shown.append(Row((words.NAMES[name], *figures, *change)))
    return Table(columns, tuple(shown), shown="people")


def style(delta: int) -> str:
    """Return the style of a change, which makes growth stand out."""
    return "" if not delta else "grew" if delta > 0 else "shrank"


def layers(diff: Diff, max_layers: int, shown: Shown = "people") -> list[Part]:
    """Return a table of the layers whose own share changed the most; an empty list if none changed."""
    figure = "macs" if diff.contributors("macs", 1) else "params"
    contributors = diff.contributors(figure, max_layers)
    if not contributors:
        return []
    columns = (
        Column("layer", "layer", "code", empty=words.MODEL, least=16),
        Column("class", "class", shown="text", least=8, style="note"),
        Column("what", "what", least=16),
        Column("macs", "MACs", "signed"),
        Column("params", "params", "signed"),
    )
    more = sum(1 for change in diff.changes if change.delta(figure)) - len(contributors)
    note = f"and {units.counted(more, 'more layer', 'more layers')}" if more else ""
    return [
        Table(columns, rows(map(_layer, contributors)), shown=shown),
        notes(note, style="note", listed=False, apart=False, shown=shown),
    ]


def _layer(change: Change) -> tuple[Any, ...]:
    part = change.new or change.old
    unsure = any(side is not None and side.unknown for side in (change.old, change.new))
    steps = ((change.delta("macs"), NEITHER if unsure else ""), (change.delta("params"), ""))
    return (
        change.place, part.class_name if part else "", words.change_of(change),
        *(Cell(step, mark, style=style(step)) for step, mark in steps),
    )  # fmt: skip


def _moved(diff: Diff, max_layers: int) -> list[Part]:
    if not diff.moved:
        return []
    more = len(diff.moved) - max_layers
    lines = [Note(text) for text in renamed(diff.moved[:max_layers])]
    if more > 0:
        lines.append(Note(f"and {more:,} more", "note"))
    return [Heading("renamed or moved"), Notes(tuple(lines), apart=False, first="  ", hang="    ")]


def renamed(moved: Sequence[tuple[str, str]]) -> Iterable[str]:
    """Return `head → classifier.head` for each renamed or moved module."""
    return (f"{old or words.MODEL} → {new or words.MODEL}" for old, new in moved)


def changes(diffs: Iterable[tuple[tuple[str, ...], Diff]], *keys: str) -> Table:
    """Return a table of all changed modules, for CSV and JSON; each diff comes with its values for the `keys`."""
    names = (*keys, "kind", "old_path", "new_path", "what", *FIGURES)
    columns = tuple([Column(name, kind="texts" if name == "what" else "text") for name in names])
    cells = (
        (
            *key, change.kind, change.old.path if change.old else None, change.new.path if change.new else None,
            change.reasons, *(change.delta(name) for name in FIGURES),
        )
        for key, diff in diffs for change in diff.changes
    )  # fmt: skip
    return Table(columns, rows(cells), "changes", shown="data")
