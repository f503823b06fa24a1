"""The difference between two models, as data for the page's JavaScript: one tree, with the figures of both models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from cnncost import units
from cnncost.budget.diff import FIGURES, Diff
from cnncost.budget.render import words
from cnncost.budget.render.diff import MAX_LAYERS, dependencies, document, renamed
from cnncost.budget.united import TreeRow, united
from cnncost.garbage import gc_disabled
from cnncost.render.document import Document
from cnncost.report.columns import AT_LEAST, NEITHER
from cnncost.report.interactive.encoding import Json, dictionary, number
from cnncost.report.interactive.tables import parents
from cnncost.report.naming import OWN

SCHEMA = 1
"""Version of the data's layout; increment it with each change."""
_COLUMN_GROUPS = {
    "macs": ("MACs", "count", ("macs",)),
    "params": ("params", "count", ("params",)),
    "flops": ("FLOPs", "count", ("flops",)),
    "traffic": ("bytes moved", "bytes", ("bytes_read", "bytes_written")),
}
"""The page's figures by name: heading, kind of value, and the model's figures that add up to it. Each has a column for
each of `_SIDES`."""
_EXACT = frozenset({"params"})
"""Figures that are exact even if there are ops without a rule."""
_HIDDEN = frozenset({"flops", "traffic"})
"""Figures whose columns are hidden until the reader selects them."""
_SIDES = ("old", "new", "change")
_HEADINGS = {
    "change": ("± {}", "{} after minus before"),
    "old": ("{} before", "{} before"),
    "new": ("{} after", "{} after"),
}  # fmt: skip
"""Heading and meaning of a column, by side; the braces stand for the figure's heading."""


@gc_disabled()
def page(diff: Diff, names: tuple[str, str], max_layers: int = MAX_LAYERS) -> Document:
    """Return the document with the data that the page's JavaScript draws."""
    return replace(document(diff, names, max_layers), page_data=page_data(diff, names))


def page_data(diff: Diff, names: tuple[str, str]) -> Json:
    """Return the data that the page's JavaScript draws: totals, sentences, columns and rows."""
    rows = united(diff)
    return {
        "schema": SCHEMA, "view": "diff", "title": f"{names[0]} → {names[1]}", "names": list(names),
        "why": [*words.figure_changes(diff)], "warnings": dependencies(diff, names),
        "moved": [*renamed(diff.moved)],
        "totals": [
            {"name": name, "heading": heading, "look": look, **_triple(diff, rows[0], name, terms)}
            for name, (heading, look, terms) in _COLUMN_GROUPS.items()
        ],
        "columns": [*_columns()], "rows": _encoded(diff, rows), "lower_bound": any(rows[0].unknown), "folded": None,
        "units": {"count": units.COUNT_UNITS, "bytes": units.BYTE_UNITS},
    }  # fmt: skip


def _triple(diff: Diff, row: TreeRow, name: str, terms: Sequence[str]) -> dict[str, Any]:
    """Return a total of the old and the new model, and its change, with their marks.

    `terms` are the figures that add up to it.
    """
    old, new = (sum(side[figure] for figure in terms) for side in (row.before, row.after))
    marks = dict(zip(_SIDES, _marks(name, (diff.old.lower_bound, diff.new.lower_bound)), strict=True))
    return {"old": number(old), "new": number(new), "change": number(new - old), "marks": marks}


def _marks(name: str, unknown: tuple[bool, bool]) -> tuple[str, str, str]:
    """Return the marks of the old number, the new number and the change.

    A number that leaves out ops without a rule is a lower bound. If either number is one, the change is neither bound.
    """
    if name in _EXACT:
        return "", "", ""
    old, new = (AT_LEAST if each else "" for each in unknown)
    return old, new, NEITHER if any(unknown) else ""


def _columns() -> Iterator[Json]:
    """Yield the columns, changes first: on a phone they are visible without scrolling."""
    for name in _COLUMN_GROUPS:
        yield _column(name, "change")
    yield _text("what", "what changed", "of the module itself")
    yield from (_column(name, side) for name in _COLUMN_GROUPS for side in ("old", "new"))
    yield _text("class", "class", "before → after")
    states = "same, changed, added, removed, or inside (only modules within it changed)"
    yield _text("state", "state", states) | {"hidden": True}


def _column(name: str, side: str) -> Json:
    (heading, look, _), (text, meaning) = _COLUMN_GROUPS[name], _HEADINGS[side]
    return {
        "name": f"{name}_{side}", "heading": text.format(heading), "meaning": meaning.format(heading),
        "look": f"signed_{look}" if side == "change" else look, "right": True, "sums": True, "hidden": name in _HIDDEN,
    }  # fmt: skip


def _text(name: str, heading: str, meaning: str) -> Json:
    return {"name": name, "heading": heading, "meaning": meaning, "look": "text", "right": False, "sums": False}


def _encoded(diff: Diff, rows: Sequence[TreeRow]) -> Json:
    """Return the rows by column, like `Rows` in `page/src/data.ts`.

    Figures have three columns each (`macs_old`, `macs_new`, `macs_change`). Numbers under the plain name, `macs`, are
    the widths of the rows' bands in the drawn tree. Marks under the plain name `flops` mark rows whose figures leave
    out an op without a rule: the page's CSV shows them in the column `unknown`.
    """
    numbers: dict[str, list[Json]] = {}
    marks: dict[str, dict[int, str]] = {"flops": {i: AT_LEAST for i, row in enumerate(rows) if any(row.unknown)}}
    for name, (_, _, terms) in _COLUMN_GROUPS.items():
        before, after = ([sum(getattr(row, side)[figure] for figure in terms) for row in rows]
                         for side in ("before", "after"))  # fmt: skip
        numbers |= {
            f"{name}_old": [*map(number, before)], f"{name}_new": [*map(number, after)],
            f"{name}_change": [number(new - old) for old, new in zip(before, after, strict=True)],
            name: [*map(number, _widths(rows, before, after))],
        }  # fmt: skip
        for i, row in enumerate(rows):
            for side, mark in zip(_SIDES, _marks(name, row.unknown), strict=True):
                if mark:
                    marks.setdefault(f"{name}_{side}", {})[i] = mark
    moved = {new: old for old, new in diff.moved}
    return {
        "name": [OWN if row.own else row.name for row in rows], "level": [row.level for row in rows],
        "own": [i for i, row in enumerate(rows) if row.own], "siblings": {}, "together": {}, "labels": {},
        "biggest": _biggest(diff, rows),
        "notes": {i: f"was {moved[row.path] or words.MODEL}" for i, row in enumerate(rows)
                  if row.new is not None and not row.own and row.path in moved},
        "state": [row.state for row in rows], "marks": marks, "numbers": numbers,
        "texts": {
            "class": dictionary(_class(row) for row in rows),
            "what": dictionary("" if row.own else ", ".join(row.reasons) for row in rows),
            "state": dictionary(row.state for row in rows),
            "old": dictionary(row.old.path if row.old else "" for row in rows),
        },
    }  # fmt: skip


def _class(row: TreeRow) -> str:
    if row.own:
        return ""
    names = dict.fromkeys(part.class_name for part in (row.old, row.new) if part is not None)
    return " → ".join(names)


def _widths(rows: Sequence[TreeRow], before: Sequence[int], after: Sequence[int]) -> list[int]:
    """Return each row's width in the drawn tree, which leaves room for removed modules.

    A leaf is as wide as the larger of its two figures; any other row is as wide as its children together.
    """
    widths = [0] * len(rows)
    parent_of = parents(row.level for row in rows)
    with_children = {*parent_of[1:]}  # the first row has no parent
    for i in reversed(range(len(rows))):
        if i not in with_children:
            widths[i] = max(before[i], after[i])
        if i:
            widths[parent_of[i]] += widths[i]
    return widths


def _biggest(diff: Diff, rows: Sequence[TreeRow]) -> list[int]:
    """Return the row of the module that accounts for most of the change, as a list with its index.

    The change is that of the first of `FIGURES` that changed. The list is empty if none did, or if the module is the
    model itself.
    """
    for name in FIGURES:
        cause = diff.attribution(name)
        if cause is not None:
            return [i for i, row in enumerate(rows) if i and not row.own and row.path == cause.path]
    return []
