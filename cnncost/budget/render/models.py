"""Several models as data for the page's JavaScript.

It draws a scatter plot of any two figures, a plot with all figures as parallel axes, and a table.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from cnncost.budget.compare import front
from cnncost.report.columns import AT_LEAST
from cnncost.report.interactive.encoding import Json, dictionary, number

SCHEMA = 2
"""Version of the data's layout; increment it with each change."""


class Figure(NamedTuple):
    """A column with a value for each model.

    Attributes:
        name, heading, meaning: name, heading and description of the column.
        look: format of its values, such as `count`, `bytes` or `text`.
        better: which values are better, `less` or `more`; empty if unknown.
        values: the value of each model; None if it has none.
        bounds: indices of the models whose values are lower bounds.
        hidden: whether the column is hidden until the reader selects it.
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
        """Whether the column can be an axis: it has a value, and none is a string."""
        return any(value is not None for value in self.values) and not any(isinstance(v, str) for v in self.values)


def models_data(
    names: Sequence[str], figures: Sequence[Figure], *, axes: tuple[str, str], work: Sequence[Hashable] | None,
    each: str = "", sentences: Sequence[str] = (), warnings: Sequence[str] = (), notes: Mapping[int, str] | None = None,
) -> Json:  # fmt: skip
    """Return the page's data: the models by column, and the Pareto fronts of all pairs of figures with a `better`.

    Args:
        names: names of the models.
        figures: the columns.
        axes: names of the two figures that are drawn first.
        work: for each model, a key for the work that its figures are about, such as the batch size. Each group of
            models with equal keys has a separate front. None: no fronts, because the figures can't be compared.
        each: displayed name of this key, such as `batch size`, which the page shows if there is more than one front.
        sentences: sentences above the plots.
        warnings: warnings below these sentences.
        notes: text after the model's name, by index; these rows are highlighted.
    """
    numeric = [figure for figure in figures if figure.numeric]
    notes = notes or {}
    return {
        "schema": SCHEMA, "view": "compare", "folded": None,
        "columns": [{"name": figure.name, "heading": figure.heading, "meaning": figure.meaning, "look": figure.look,
                     "right": figure.numeric, "sums": False, "hidden": figure.hidden} for figure in figures],
        "axes": [{"name": figure.name, "heading": figure.heading, "look": figure.look, "better": figure.better}
                 for figure in numeric],
        "fronts": {} if work is None else {f"{a.name} {b.name}": [*_fronts(a, b, work)]
                                           for a, b in combinations(numeric, 2) if a.better and b.better},
        "each": each, "x": axes[0], "y": axes[1], "told": list(sentences), "warnings": list(warnings),
        "rows": {
            "name": list(names), "level": [0] * len(names), "own": [],
            "siblings": {}, "together": {}, "labels": {}, "notes": dict(notes), "biggest": [*notes],
            "marks": {figure.name: dict.fromkeys(figure.bounds, AT_LEAST) for figure in figures if figure.bounds},
            "numbers": {figure.name: [number(v) if isinstance(v, int) else v for v in figure.values]
                        for figure in numeric},
            "texts": {figure.name: dictionary("" if v is None else str(v) for v in figure.values)
                      for figure in figures if not figure.numeric},
        },
    }  # fmt: skip


def _fronts(a: Figure, b: Figure, work: Sequence[Hashable]) -> Iterator[list[int]]:
    """Yield the rows on the Pareto front of two figures, for each group of models with equal work and both figures."""
    groups: dict[Hashable, dict[int, tuple[float, float]]] = {}
    for i, (x, y, key) in enumerate(zip(a.values, b.values, work, strict=True)):
        if x is not None and y is not None:
            groups.setdefault(key, {})[i] = (_cost(x, a.better), _cost(y, b.better))
    for costs in groups.values():
        rows = [*costs]
        yield sorted(rows[i] for i in front([*costs.values()]))


def _cost(value: float, better: str) -> float:
    """Return a number that is smaller the better the value is."""
    return -value if better == "more" else value
