"""Hulls of input positions, in flat row-major grids.

A cell is the hull (first, last) of the input positions that an element sees, or None if it sees none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import product
from math import prod
from typing import TypeAlias

Cell: TypeAlias = "tuple[int, int] | None"
Cells: TypeAlias = "list[Cell]"


def hull(a: Cell, b: Cell) -> Cell:
    """Return the smallest interval that contains both cells."""
    if a is None or a == b:
        return b
    if b is None:
        return a
    return (min(a[0], b[0]), max(a[1], b[1]))


def hull_of(cells: Iterable[Cell]) -> Cell:
    """Return the hull of all cells."""
    return reduce(hull, cells, None)


def union(grids: Sequence[Cells]) -> Cells:
    """Return the hull of several grids, cell by cell."""
    merged, *others = grids
    for grid in others:
        merged = [hull(x, y) for x, y in zip(merged, grid, strict=True)]
    return merged


def moved(cell: Cell, by: int) -> Cell:
    """Return the cell shifted by `by` positions."""
    return None if cell is None else (cell[0] + by, cell[1] + by)


def regrouped(cells: Cells, dims: Sequence[int], axis: int, groups: Sequence[Sequence[int]]) -> Cells:
    """Return a grid of dimensions `dims` whose position j along an axis becomes the hull of positions `groups[j]`."""
    n, inner = dims[axis], prod(dims[axis + 1 :])
    if inner == 1:
        rows = (cells[i : i + n] for i in range(0, len(cells), n)) if n else ()
        return [row[g[0]] if len(g) == 1 else hull_of([row[i] for i in g]) for row in rows for g in groups]
    merged: Cells = []
    for start in range(0, len(cells), n * inner):
        for group in groups:
            parts = [cells[start + i * inner : start + (i + 1) * inner] for i in group]
            merged += union(parts) if parts else [None] * inner
    return merged


def permuted(cells: Cells, dims: Sequence[int], order: Sequence[int]) -> Cells:
    """Return a grid whose axis i is axis `order[i]` of the old one."""
    if [i for i in order if dims[i] > 1] == [
        i for i, n in enumerate(dims) if n > 1
    ]:  # only axes of size 1 change places
        return cells
    strides = [prod(dims[i + 1 :]) for i in range(len(dims))]
    return [
        cells[sum(i * strides[k] for i, k in zip(index, order, strict=True))]
        for index in product(*(range(dims[k]) for k in order))
    ]
