"""Short texts and small HTML tables of what a Report holds, for a Python prompt, a debugger and a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from cnncost import units
from cnncost.report.schema import statistics

_Row = TypeVar("_Row")
_ENDS = 3
"""How many rows' names are told before the last one."""
_MOST = 60
"""Row limit of a table in a notebook: about one and a half screens, as in the terminal."""
_NOUNS = {"Layer": "layer", "Module": "module", "Op": "op", "PhaseCost": "phase"}


class Rows(tuple[_Row, ...]):
    """The rows of a table: a tuple whose repr is one line, and a table in a notebook."""

    __slots__ = ()

    def __repr__(self) -> str:
        """`<62 layers: conv1, bn1, relu, ..., fc>`."""
        names = [_name(row) for row in self[:_ENDS]]
        if len(self) > _ENDS:
            names += [*(["..."] if len(self) > _ENDS + 1 else []), _name(self[-1])]
        return f"<{self._counted()}{': ' if names else ''}{', '.join(names)}>"

    def _counted(self) -> str:
        noun = _NOUNS.get(type(self[0]).__name__, "row") if self else "row"
        return units.counted(len(self), noun)

    def _repr_html_(self) -> str:
        columns = [name for name in _fields(self[0]) if any(_told(getattr(row, name)) for row in self)] if self else []
        rows = [[_marked(row, name) for name in columns] for row in self[:_MOST]]
        left = len(self) - len(rows)
        return table(self._counted(), columns, rows, f"and {units.counted(left, 'more row')}" if left else "")


def counts(row: Any) -> str:
    """`11,689,512 params, 1,814,073,344 MACs, 3,637,806,568 FLOPs`; `>=` before a lower bound."""
    mark = ">=" if getattr(row, "lower_bound", False) or getattr(row, "unknown", False) else ""
    params = units.counted(row.params, "param")
    return f"{params}, {mark}{units.counted(row.macs, 'MAC')}, {mark}{units.counted(row.flops, 'FLOP')}"


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], after: str = "") -> str:
    """A small HTML table; columns in which texts begin with a digit or a sign are right-aligned."""
    from cnncost.render.document import Column, Document, Table, notes  # not needed for a terminal
    from cnncost.render.document import rows as plain
    from cnncost.render.html import fragment

    texts = list(rows)
    columns = tuple(
        Column(str(i), head, "figure" if any(_is_number(row[i]) for row in texts) else "text")
        for i, head in enumerate(heads)
    )
    parts = (Table(columns, plain(texts)), notes(after, listed=False))
    return fragment(Document("report", title, parts=parts))


def fields(row: Any) -> str:
    """The fields of a single row, such as the totals, as an HTML table; without those that are empty."""
    names = [name for name in _fields(row) if _told(getattr(row, name))]
    return table(type(row).__name__, ("", ""), [(name, _marked(row, name)) for name in names])


def _is_number(text: str) -> bool:
    return text.replace(",", "").lstrip("≥≤~-").isdigit()


def _fields(row: Any) -> tuple[str, ...]:
    """Names of its fields, those that say which row it is first."""
    names = list(row.__dataclass_fields__)
    own = vars(type(row)).get("__annotations__", {})
    return tuple(sorted(names, key=lambda name: name not in own))


def _name(row: Any) -> str:
    for name in ("label", "path", "name", "phase"):
        if hasattr(row, name):
            return str(getattr(row, name)) or "the model"
    return str(row)


def _told(value: Any) -> bool:
    return value is not None and value is not False and value not in ("", ())


def _marked(row: Any, name: str) -> str:
    """A value as text; a lower bound, an upper bound, and what no rule counts are marked as in all tables."""
    kind: Any = type(row)
    text, about = _text(getattr(row, name)), statistics(kind).get(name)
    partial = getattr(row, "unknown", False) or getattr(row, "lower_bound", False)
    if name in {"training_macs", "training_flops", "training_macs_unmasked"}:
        partial = row.training_lower_bound
    elif about is None or not about.bounded:
        return text
    elif not getattr(row, "known", True):
        return "?"
    masked = {"macs_unmasked": "mask_unknown", "training_macs_unmasked": "training_mask_unknown"}.get(name, "")
    return {(False, False): "", (True, False): "≥", (False, True): "≤", (True, True): "~"}[
        bool(partial), bool(masked) and getattr(row, masked)
    ] + text


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
