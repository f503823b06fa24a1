"""A difference of two models as lines of a terminal."""

from __future__ import annotations

import textwrap

from cnncost import units
from cnncost.budget.diff import FIGURES, Diff
from cnncost.budget.render import words
from cnncost.budget.snapshot import Snapshot
from cnncost.render.layout import Cell, Field, Line, table

LEAST_WIDTH = 60
MOST = 12
"""So many layers are listed."""
_GREW, _SHRANK = "grew", "shrank"


def to_lines(diff: Diff, width: int, names: tuple[str, str], most: int = MOST) -> list[Line]:
    """Styled lines, none longer than `width`, which is 60 at least.

    Styles: title, heading, rule, note, grew, shrank.
    """
    width = max(width, LEAST_WIDTH)
    lines: list[Line] = [[(line, "title")] for line in textwrap.wrap(f"{names[0]} → {names[1]}", width)]
    lines += [[(line, "note")] for line in textwrap.wrap(_inputs(diff), width)]
    lines += [[], *table(_totals(diff), width)]
    why = list(words.moves(diff))
    if why:
        lines.append([])
        for text in why:
            lines += [[(line, "heading")] for line in words.wrapped(text, width)]
    elif not diff.changes:
        lines += [[], [("the same, module by module", "shrank")]]
    return [*lines, *_layers(diff, width, most), *_moved(diff, width, most)]


def _inputs(diff: Diff) -> str:
    if diff.old.inputs == diff.new.inputs:
        return f"input {diff.old.inputs}"
    return f"inputs differ: {diff.old.inputs} and {diff.new.inputs}"


def _totals(diff: Diff) -> list[Field]:
    deltas = [diff.delta(name) for name in FIGURES]
    grown = [words.growth(diff.old.totals[name], diff.new.totals[name]) for name in FIGURES]
    return [
        Field("", [Cell(words.NAMES[name]) for name in FIGURES]),
        Field("old", _side(diff.old), right=True),
        Field("new", _side(diff.new), right=True),
        Field("change", [Cell(words.signed(delta), style(delta)) for delta in deltas], right=True),
        Field("", [Cell(text, style(delta)) for text, delta in zip(grown, deltas, strict=True)], right=True),
    ]


def _side(snapshot: Snapshot) -> list[Cell]:
    """Exact figures, as lower bounds where ops are missing; parameters never are."""
    bounds = ["≥" if snapshot.lower_bound and name != "params" else "" for name in FIGURES]
    return [Cell(bound + units.exact(snapshot.totals[name])) for bound, name in zip(bounds, FIGURES, strict=True)]


def style(delta: int) -> str:
    """Growth is what one looks out for."""
    return "" if not delta else _GREW if delta > 0 else _SHRANK


def _layers(diff: Diff, width: int, most: int) -> list[Line]:
    """The layers whose own share changed the most."""
    figure = "macs" if diff.contributors("macs", 1) else "params"
    changes = diff.contributors(figure, most)
    if not changes:
        return []
    steps = {name: [change.delta(name) for change in changes] for name in ("macs", "params")}
    fields = [
        Field("layer", [Cell(change.place or words.MODEL) for change in changes], least=16),
        Field("class", [Cell((change.new or change.old).class_name, "note") for change in changes], least=8),  # type: ignore[union-attr]  # one of them is there
        Field("what", [Cell(words.change_of(change)) for change in changes], least=16),
        *(
            Field(words.NAMES[name], [Cell(words.signed(s), style(s)) for s in each], right=True)
            for name, each in steps.items()
        ),
    ]
    more = sum(1 for change in diff.changes if change.delta(figure)) - len(changes)
    lines = [[], *table(fields, width)]
    return [*lines, [(f"and {units.counted(more, 'more layer', 'more layers')}", "note")]] if more else lines


def _moved(diff: Diff, width: int, most: int) -> list[Line]:
    if not diff.moved:
        return []
    lines: list[Line] = [[], [("renamed or moved", "heading")]]
    for old, new in diff.moved[:most]:
        lines += [
            [(line, "")]
            for line in textwrap.wrap(f"  {old or words.MODEL} → {new or words.MODEL}", width, subsequent_indent="    ")
        ]
    more = len(diff.moved) - most
    return [*lines, [(f"  and {more:,} more", "note")]] if more > 0 else lines
