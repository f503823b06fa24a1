"""A grid: models, number formats and sizes, and the points that they span, made one after the other."""

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
"""Points from which on a grid has to be confirmed."""
_FEW = 32
"""Most points of one task: a model is built once for all of them."""


class Axis(NamedTuple):
    """What varies, and its values in order: each sets one or several variables.

    Attributes:
        variables: as for `cnncost.formula`: `batch`, `height`, `ids.1`, a keyword of the factory.
        values: a size for each of the variables.
    """

    variables: tuple[str, ...]
    values: tuple[tuple[int, ...], ...]


class Point(NamedTuple):
    """A point of a grid.

    Attributes:
        at: its place, from 0, in the order of the grid.
        model: its name.
        dtype: of parameters and inputs; None: the model's own.
        sizes: by variable, in the order of the axes.
    """

    at: int
    model: str
    dtype: str | None
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Grid:
    """What is to be analyzed, and what is wanted of each point: plain data, that processes hand to one another.

    Attributes:
        models: names without patterns, in order, each once.
        axes: what varies; the last changes fastest.
        dtypes: number formats; None among them: the models' own.
        columns: names of figures, of `figures.FIGURES`.
        devices: their names: each is a column of predicted seconds.
        inputs: texts as `--input` takes them.
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
            raise InputError(f"sweep: {both[0]} varies, and --model-args sets it, too; leave out one of them")
        for axis in self.axes:
            if not axis.values or len(set(axis.values)) < len(axis.values):
                what = "its sizes" if not axis.values else "each size once"
                raise InputError(f"sweep: {'+'.join(axis.variables)}: expected {what}")
        if not self.models:
            raise InputError("sweep: expected models, such as 'timm:resnet*' or lenet5")

    @property
    def variables(self) -> tuple[str, ...]:
        """What varies, in the order of a point's sizes."""
        return tuple(name for axis in self.axes for name in axis.variables)

    @property
    def of_model(self) -> int:
        """Points of one model in one number format."""
        return prod(len(axis.values) for axis in self.axes)

    def __len__(self) -> int:
        return len(self.models) * len(self.dtypes) * self.of_model

    def points(self) -> Iterator[Point]:
        """All points, in order: by model, then by number format, then by sizes."""
        index = 0
        for model, dtype in product(self.models, self.dtypes):
            for values in product(*(axis.values for axis in self.axes)):
                yield Point(index, model, dtype, tuple(size for each in values for size in each))
                index += 1

    def tasks(self, without: Collection[int], most: int = _FEW) -> Iterator[tuple[Point, ...]]:
        """The points but those `without`, in tasks of one model and number format each, made as they are asked for.

        Args:
            without: indices of points that are known.
            most: points of a task.
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
        """The digest, found once: of a hundred thousand sizes it takes longer than an analysis."""
        return self.digest()

    def sent(self) -> Grid:
        """What a process needs for points that are handed to it: each axis with its first size alone, and the key."""
        sent = replace(self, models=self.models[:1], axes=tuple(Axis(a.variables, a.values[:1]) for a in self.axes))
        sent.__dict__["key"] = self.key  # as cached_property keeps it; pickled with the rest
        return sent

    def digest(self, *more: str) -> str:
        """Names all that decides what the rows are."""
        text = json.dumps([asdict(self), *more], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
