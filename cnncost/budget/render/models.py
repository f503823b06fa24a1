"""Several models as data for the page's program: a plot of any two figures, one with all as axes, and a table."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from cnncost.budget.compare import front
from cnncost.report.columns import AT_LEAST
from cnncost.report.interactive.encoding import Json, dictionary, number

SCHEMA = 2
"""Version of the data's layout; raise it with each change."""


class Figure(NamedTuple):
    """A column of models.

    Attributes:
        name, heading, meaning: of the column.
        look: how its values look.
        better: `less` or `more`; empty if that is not known.
        values: one for each model, None where it has none.
        bounds: the rows whose values are lower bounds.
        hidden: whether it is left out until it is asked for.
    """

    name: str
    heading: str
    meaning: str
    look: str
    better: str
    values: Sequence[Any]
    bounds: Collection[int] = ()
    hidden: bool = False

    @property
    def numeric(self) -> bool:
        """True if the column can be an axis."""
        return any(value is not None for value in self.values) and not any(isinstance(v, str) for v in self.values)


def several(
    names: Sequence[str], figures: Sequence[Figure], *, axes: tuple[str, str], work: Sequence[Hashable] | None,
    each: str = "", told: Sequence[str] = (), warnings: Sequence[str] = (), notes: Mapping[int, str] | None = None,
) -> Json:  # fmt: skip
    """Return the models by column, and the Pareto front of each two axes that have a better end.

    Args:
        names: of the models.
        figures: the columns.
        axes: the two that are drawn first.
        work: what each model does; only those that do the same are rivals. None: they can't be laid side by side.
        each: what a front is of, where there may be several: `batch size`.
        told: sentences above.
        warnings: sentences that warn.
        notes: what stands after the names of rows that stand out.
    """
    known = [figure for figure in figures if figure.numeric]
    notes = notes or {}
    return {
        "schema": SCHEMA, "view": "compare", "folded": None,
        "columns": [{"name": figure.name, "heading": figure.heading, "meaning": figure.meaning, "look": figure.look,
                     "right": figure.numeric, "sums": False, "hidden": figure.hidden} for figure in figures],
        "axes": [{"name": figure.name, "heading": figure.heading, "look": figure.look, "better": figure.better}
                 for figure in known],
        "fronts": {} if work is None else {f"{a.name} {b.name}": [*_fronts(a, b, work)]
                                           for a, b in combinations(known, 2) if a.better and b.better},
        "each": each, "x": axes[0], "y": axes[1], "told": list(told), "warnings": list(warnings),
        "rows": {
            "name": list(names), "level": [0] * len(names), "own": [],
            "siblings": {}, "together": {}, "labels": {}, "notes": dict(notes), "biggest": [*notes],
            "marks": {figure.name: dict.fromkeys(figure.bounds, AT_LEAST) for figure in figures if figure.bounds},
            "numbers": {figure.name: [number(v) if isinstance(v, int) else v for v in figure.values]
                        for figure in known},
            "texts": {figure.name: dictionary("" if v is None else str(v) for v in figure.values)
                      for figure in figures if not figure.numeric},
        },
    }  # fmt: skip


def _fronts(a: Figure, b: Figure, work: Sequence[Hashable]) -> Iterator[list[int]]:
    """Of models that do the same, those that no other one beats in one of both without losing in the other."""
    groups: dict[Hashable, dict[int, tuple[float, float]]] = {}
    for i, (x, y, of) in enumerate(zip(a.values, b.values, work, strict=True)):
        if x is not None and y is not None:
            groups.setdefault(of, {})[i] = (_cost(x, a.better), _cost(y, b.better))
    for costs in groups.values():
        places = [*costs]
        yield sorted(places[at] for at in front([*costs.values()]))


def _cost(value: float, better: str) -> float:
    return -value if better == "more" else value
