"""A grid: models, dtypes and sizes, and its points (all combinations), generated lazily."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import product
from math import prod
from typing import Any, NamedTuple

from cnncost.errors import InputError

MOST = 1_000_000
"""Maximum number of points of a grid that needs no confirmation."""
_MOST_IN_TASK = 32
"""Maximum number of points in a task; a model is built once per task."""


class Axis(NamedTuple):
    """An axis of the grid: one or several variables that vary together, and their values in order.

    Attributes:
        variables: names as for `cnncost.formula`: `batch`, `height`, `ids.1`, a keyword of the factory.
        values: each with one size per variable.
    """

    variables: tuple[str, ...]
    values: tuple[tuple[int, ...], ...]


class Point(NamedTuple):
    """A point of a grid.

    Attributes:
        at: the point's index, from 0, in the order of the grid.
        model: the model's name.
        dtype: dtype of parameters and inputs; None: the model's own.
        sizes: one size per variable, in the order of the axes.
    """

    at: int
    model: str
    dtype: str | None
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Grid:
    """What to analyze, and the figures to compute for each point, as plain data that can be sent to other processes.

    Attributes:
        models: distinct names without wildcards, in order.
        axes: what varies; the last axis changes fastest.
        dtypes: dtypes of parameters and inputs; None stands for the models' own.
        columns: names of figures in `figures.FIGURES`.
        devices: names of devices; each gets a column of predicted seconds.
        inputs: shape strings as for `--input`.
        model_args: keyword arguments of all factories.
        autocast: as for `analyze`.
        trace: as for `analyze`.
    """

    models: tuple[str, ...]
    axes: tuple[Axis, ...] = ()
    dtypes: tuple[str | None, ...] = (None,)
    columns: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    model_args: dict[str, Any] = field(default_factory=dict)
    autocast: str | None = None
    trace: str = "auto"

    def __post_init__(self) -> None:
        names = self.variables
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"sweep: {twice} varies in two axes of the grid; name it once")
        if both := sorted({*names} & {*self.model_args}):
            raise InputError(f"sweep: {both[0]} varies, but --model-args also sets it; leave out one of the two")
        for axis in self.axes:
            if not axis.values or len(set(axis.values)) < len(axis.values):
                what = "at least one size" if not axis.values else "each size only once"
                raise InputError(f"sweep: {'+'.join(axis.variables)}: expected {what}")
        if not self.models:
            raise InputError("sweep: expected models, such as 'timm:resnet*' or lenet5")

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables, in the order of a point's sizes."""
        return tuple(name for axis in self.axes for name in axis.variables)

    @property
    def combinations(self) -> int:
        """Number of combinations of sizes, which is the number of points of one model in one dtype."""
        return prod(len(axis.values) for axis in self.axes)

    def __len__(self) -> int:
        return len(self.models) * len(self.dtypes) * self.combinations

    def points(self) -> Iterator[Point]:
        """Yield all points in order: by model, then by dtype, then by sizes."""
        index = 0
        for model, dtype in product(self.models, self.dtypes):
            for values in product(*(axis.values for axis in self.axes)):
                yield Point(index, model, dtype, tuple(size for each in values for size in each))
                index += 1

    def tasks(self, without: Collection[int], most: int = _MOST_IN_TASK) -> Iterator[tuple[Point, ...]]:
        """Yield the points except those in `without`, grouped into tasks of one model and dtype each.

        Args:
            without: indices of points to leave out.
            most: maximum number of points in a task.
        """
        task: list[Point] = []
        for point in self.points():
            if point.at in without:
                continue
            if task and (len(task) >= most or (task[0].model, task[0].dtype) != (point.model, point.dtype)):
                yield tuple(task)
                task = []
            task.append(point)
        if task:
            yield tuple(task)

    @cached_property
    def key(self) -> str:
        """The digest, cached: for a hundred thousand sizes, computing it takes longer than an analysis."""
        return self.digest()

    def for_workers(self) -> Grid:
        """Return a small copy, with one model and one value per axis but the same key: points are sent separately."""
        small = replace(self, models=self.models[:1], axes=tuple(Axis(a.variables, a.values[:1]) for a in self.axes))
        # sets the cached property, which is pickled with the fields: the copy's own digest would differ
        small.__dict__["key"] = self.key
        return small

    def digest(self, *more: str) -> str:
        """Return a hash of everything that the rows depend on: the grid, and `more`."""
        text = json.dumps([asdict(self), *more], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
