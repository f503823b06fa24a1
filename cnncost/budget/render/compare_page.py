"""Models side by side as the page's program shows them: any two figures against each other, all of them as axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, NamedTuple

from cnncost import units
from cnncost.budget.compare import Compared, front, incomparable
from cnncost.budget.join import Joined, less
from cnncost.budget.render.compare import FRONT, document, inputs
from cnncost.render.document import Document
from cnncost.render.values import show
from cnncost.report.columns import AT_LEAST
from cnncost.report.interactive.encoding import Json, dictionary, number

SCHEMA = 1
"""Of what the program is given; raised when it changes."""


class _Figure(NamedTuple):
    """A column: its values, None where a model has none, and what is better of it, empty if that is not known."""

    name: str
    heading: str
    meaning: str
    look: str
    better: str
    values: tuple[Any, ...]
    bounded: bool = False
    hidden: bool = False

    @property
    def numeric(self) -> bool:
        """Whether it can be an axis."""
        return any(value is not None for value in self.values) and not any(isinstance(v, str) for v in self.values)


def page(rows: Sequence[Compared], joined: Joined | None = None) -> Document:
    """The document, with what the program draws."""
    title = f"{units.counted(len(rows), 'model')} side by side"
    return replace(document(rows, joined), title=title, program=program(rows, joined))


def program(rows: Sequence[Compared], joined: Joined | None = None) -> Json:
    """The models by column, the axes, and the Pareto front of each two axes that have a better end."""
    figures = [*_figures(rows, joined)]
    axes = [each for each in figures if each.numeric]
    apart = incomparable(rows)
    quality = None if joined is None else joined.quality
    x, y = ("macs", _own(quality.column)) if quality is not None else ("params", "macs")
    return {
        "schema": SCHEMA, "view": "compare", "folded": None,
        "columns": [{"name": each.name, "heading": each.heading, "meaning": each.meaning, "look": each.look,
                     "right": each.numeric, "sums": False, "hidden": each.hidden} for each in figures],
        "axes": [{"name": each.name, "heading": each.heading, "look": each.look, "better": each.better}
                 for each in axes],
        "fronts": {} if apart else {f"{a.name} {b.name}": _front(a, b) for a, b in combinations(axes, 2)
                                    if a.better and b.better},
        "x": x, "y": y, "told": inputs(rows) + ([apart] if apart else []),
        "warnings": [f"{row.name}: {text}" for row in rows for text in row.depends_on]
        + list(joined.notes if joined is not None else ()),
        "rows": _encoded(rows, figures),
    }  # fmt: skip


def _own(column: str) -> str:
    """A joined column's name, apart from those of the comparison."""
    return f"joined {column}"


def _figures(rows: Sequence[Compared], joined: Joined | None) -> Any:
    peaks = all(row.peak is not None for row in rows)
    for name in dict.fromkeys(name for row in rows for name, _ in row.sizes):
        values = tuple(dict(row.sizes).get(name) for row in rows)
        yield _Figure(f"vary {name}", name, f"{name}, which varies", "figure", "", values)
    for name in dict.fromkeys(name for row in rows for name, _ in row.joined):
        quality = joined.quality if joined is not None else None
        known = "more" if quality is not None and quality.column == name and quality.more else ""
        better = (
            "less" if less(name) or (quality is not None and quality.column == name and not quality.more) else known
        )
        values = tuple(dict(row.joined).get(name) for row in rows)
        yield _Figure(_own(name), name, f"{name}, as joined", "figure", better, values)
    yield _Figure("params", "params", "parameters, each counted once", "count", "less",
                  tuple(row.params for row in rows))  # fmt: skip
    yield _Figure("macs", "MACs", "multiply-accumulates", "count", "less", tuple(row.macs for row in rows), True)
    yield _Figure("flops", "FLOPs", "floating-point operations", "count", "less",
                  tuple(row.flops for row in rows), True)  # fmt: skip
    what = ("peak memory", "bytes alive at the peak of inference") if peaks else ("weights", "bytes of the weights")
    yield _Figure("memory", *what, "bytes", "less", tuple(row.memory for row in rows), peaks)
    if peaks:
        yield _Figure("weight_bytes", "weights", "bytes of parameters and buffers", "bytes", "less",
                      tuple(row.weight_bytes for row in rows), hidden=True)  # fmt: skip
    if len({row.inputs for row in rows}) > 1:
        yield _Figure(
            "inputs", "input", "shapes and dtypes", "text", "", tuple(show("tensors", row.inputs) for row in rows)
        )


def _front(a: _Figure, b: _Figure) -> list[int]:
    """The rows that no other one beats in one of both figures without losing in the other."""
    both = enumerate(zip(a.values, b.values, strict=True))
    known = {i: (_cost(x, a.better), _cost(y, b.better)) for i, (x, y) in both if x is not None and y is not None}
    places = [*known]
    return sorted(places[at] for at in front([*known.values()]))


def _cost(value: float, better: str) -> float:
    return -value if better == "more" else value


def _encoded(rows: Sequence[Compared], figures: Sequence[_Figure]) -> Json:
    bound = {i: AT_LEAST for i, row in enumerate(rows) if row.lower_bound}
    return {
        "name": [row.name for row in rows], "level": [0] * len(rows), "own": [],
        "siblings": {}, "together": {}, "labels": {},
        "notes": {i: FRONT for i, row in enumerate(rows) if row.front},
        "biggest": [i for i, row in enumerate(rows) if row.front],
        "marks": {each.name: bound for each in figures if each.bounded and bound},
        "numbers": {each.name: [number(v) if isinstance(v, int) else v for v in each.values]
                    for each in figures if each.numeric},
        "texts": {each.name: dictionary("" if v is None else str(v) for v in each.values)
                  for each in figures if not each.numeric},
    }  # fmt: skip
