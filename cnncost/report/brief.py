"""Reprs of a Report's parts: one line for a Python prompt or debugger, a small HTML table for a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from cnncost import units
from cnncost.report.schema import statistics

_Row = TypeVar("_Row")
_FIRST = 3
"""Number of rows that the repr names before `...` and the last row."""
_MAX_ROWS = 60
"""Row limit of a table in a notebook: about one and a half screens, as in the terminal."""
_SIGNS = {
    "≥": "a lower bound, as ops are missing that have no rule or were not reached",
    "≤": "an upper bound: attention is counted in full where its mask is not known",
    "~": "can be larger or smaller: ops are missing, but attention is counted in full where its mask is not known",
    "?": "not known",
}
"""What the signs of numbers mean."""
_NOUNS = {"Layer": "layer", "Module": "module", "Op": "op", "PhaseCost": "phase"}


class Rows(tuple[_Row, ...]):
    """The rows of a table: a tuple whose repr is one line, or a table in a notebook."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return, for example, `<62 layers: conv1, bn1, relu, ..., fc>`."""
        names = [_name(row) for row in self[:_FIRST]]
        if len(self) > _FIRST:
            names += [*(["..."] if len(self) > _FIRST + 1 else []), _name(self[-1])]
        return f"<{self._row_count()}{': ' if names else ''}{', '.join(names)}>"

    def _row_count(self) -> str:
        """Return the number of rows with their noun: `62 layers`."""
        noun = _NOUNS.get(type(self[0]).__name__, "row") if self else "row"
        return units.counted(len(self), noun)

    def _repr_html_(self) -> str:
        names = _fields(self[0]) if self else ()
        columns = [name for name in names if any(_is_shown(getattr(row, name)) for row in self)]
        rows = [[_marked(row, name) for name in columns] for row in self[:_MAX_ROWS]]
        omitted = len(self) - len(rows)
        return table(self._row_count(), columns, rows, f"and {units.counted(omitted, 'more row')}" if omitted else "")


def counts(row: Any) -> str:
    """Return `11,689,512 params, 1,814,073,344 MACs, 3,637,806,568 FLOPs`, with `>=` before lower bounds."""
    mark = ">=" if getattr(row, "lower_bound", False) or getattr(row, "unknown", False) else ""
    params = units.counted(row.params, "param")
    return f"{params}, {mark}{units.counted(row.macs, 'MAC')}, {mark}{units.counted(row.flops, 'FLOP')}"


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], after: str = "") -> str:
    """Return a small HTML table, and below it the note `after` and what the signs of its numbers mean.

    Columns that contain a number are right-aligned.
    """
    from cnncost.render.document import Column, Document, Table, notes  # not needed for a terminal
    from cnncost.render.document import rows as table_rows
    from cnncost.render.html import fragment

    texts = list(rows)
    columns = tuple(
        Column(str(i), head, "figure" if any(_is_number(row[i]) for row in texts) else "text")
        for i, head in enumerate(heads)
    )
    found = {text[:1] for row in texts for text in row}
    signs = [f"{sign}: {meaning}" for sign, meaning in _SIGNS.items() if sign in found]
    parts = (Table(columns, table_rows(texts)), notes(after, *signs, listed=False))
    return fragment(Document("report", title, parts=parts))


def fields(row: Any) -> str:
    """Return the non-empty fields of a single row, such as the totals, as an HTML table."""
    names = [name for name in _fields(row) if _is_shown(getattr(row, name))]
    return table(type(row).__name__, ("", ""), [(name, _marked(row, name)) for name in names])


def _is_number(text: str) -> bool:
    return text.replace(",", "").lstrip("≥≤~-").isdigit()


def _fields(row: Any) -> tuple[str, ...]:
    """Return the names of a row's fields, beginning with those of its own class, which identify the row."""
    names = list(row.__dataclass_fields__)
    own = vars(type(row)).get("__annotations__", {})
    return tuple(sorted(names, key=lambda name: name not in own))


def _name(row: Any) -> str:
    for name in ("label", "path", "name", "phase"):
        if hasattr(row, name):
            return str(getattr(row, name)) or "the model"
    return str(row)


def _is_shown(value: Any) -> bool:
    """Return whether a value is worth showing; 0 is, but None, False and empty values are not."""
    return value is not None and value is not False and value not in ("", ())


def _marked(row: Any, name: str) -> str:
    """Return a value as text, marked as in all tables: `≥`, `≤`, `~` for both, `?` for an op without a rule."""
    kind: Any = type(row)
    text, about = _text(getattr(row, name)), statistics(kind).get(name)
    partial = getattr(row, "unknown", False) or getattr(row, "lower_bound", False)
    # a training step has flags of its own, because its backward may run ops without a rule
    if name in {"training_macs", "training_flops", "training_macs_unmasked"}:
        partial = row.training_lower_bound
    elif about is None or not about.bounded:
        return text
    elif not getattr(row, "known", True):
        return "?"
    flag = {"macs_unmasked": "mask_unknown", "training_macs_unmasked": "training_mask_unknown"}.get(name)
    mask_unknown = flag is not None and getattr(row, flag)
    marks = {(False, False): "", (True, False): "≥", (False, True): "≤", (True, True): "~"}
    return marks[bool(partial), mask_unknown] + text


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, int):
        return units.exact(value)
    if isinstance(value, tuple):
        shapes = value if value and isinstance(value[0], tuple) else (value,)
        return ", ".join(units.shape(shape) for shape in shapes) if value else ""
    return str(value)
