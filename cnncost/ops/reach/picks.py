"""Reach of indexing: by constant positions, which the spec contains, or by tensor data."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from math import prod

from cnncost.graph import OpSpec, Shape
from cnncost.ops.reach.registry import (
    DataDependentIndex,
    Output,
    Pattern,
    Permute,
    Reach,
    Reshape,
    Route,
    Spread,
    Step,
    routes,
)
from cnncost.ops.reach.windows import affine_window, gather_window

LARGEST = 1 << 15
"""Maximum number of elements, of input or result, of a `gather` whose indices differ between rows.

For more, its dependencies are unknown.
"""


def gather(spec: OpSpec) -> Reach | None:
    """An embedding sees its index, other ops the elements that they index by constants (`positions`) or by data.

    None if the indexing can't be followed.
    """
    x, y = spec.inputs[0].shape, spec.outputs[0].shape
    if spec["fn"] == "embedding":
        ids = spec.inputs[1].shape
        return routes(Route(1, (Reshape((*ids, 1)), Spread(len(ids), y[-1]))))
    if spec["fn"] == "one_hot":
        return routes(Route(0, (Reshape((*x, 1)), Spread(len(x), y[-1]))))
    positions = spec.get("positions")
    steps = _by_data(spec) if positions is None else _by_constants(spec, [_expand_runs(runs) for runs in positions])
    if steps is None:
        return None
    constants = range(1, len(spec.inputs)) if positions is not None else ()
    return (Output((Route(0, steps),), constants=tuple(constants)),)


def _by_data(spec: OpSpec) -> tuple[Step, ...] | None:
    """Steps of indexing along one axis by unknown indices; None if the op indexes in another way."""
    x, y, dim = spec.inputs[0].shape, spec.outputs[0].shape, spec.get("dim")
    if spec["fn"] not in {"index_select", "gather"} or dim is None or len(x) != len(y):
        return None
    if not x:
        return ()
    axis = dim % len(x)
    if spec["fn"] != "index_select" and x[:axis] + x[axis + 1 :] != y[:axis] + y[axis + 1 :]:
        return None
    return (DataDependentIndex(axis, y[axis]),)


def _expand_runs(runs: Sequence[tuple[int, int, int]]) -> list[int]:
    """Expand runs of (first, count, step) into positions."""
    return [first + i * step for first, count, step in runs for i in range(count)]


def _by_constants(spec: OpSpec, positions: list[list[int]]) -> tuple[Step, ...] | None:
    """Steps of indexing by known positions, one list per index tensor; None if they can't be followed."""
    x, y, dim = spec.inputs[0].shape, spec.outputs[0].shape, spec.get("dim")
    if not x:
        return (Reshape(y),) if prod(y) == 1 else None
    if spec["fn"] == "take":
        return Reshape((prod(x),)), _select(0, prod(x), positions[0]), Reshape(y)
    if spec["fn"] == "index_select":
        return (_select(dim % len(x), x[dim % len(x)], positions[0]),)
    if spec["fn"] == "gather":
        return _gather(x, y, spec["picked"], dim % len(x), positions[0])
    axes = spec.get("axes", ())
    return _index(x, y, axes, positions) if len(axes) == len(positions) else None


def _select(axis: int, size: int, positions: Sequence[int]) -> Step:
    """Step that selects positions along an axis; negative ones count from the end."""
    nonnegative = [i + size if i < 0 else i for i in positions]
    return gather_window(axis, nonnegative, pattern_of(nonnegative))


def pattern_of(positions: Sequence[int]) -> Pattern | None:
    """Return the pattern of positions if it repeats at least three times: 0, 1, 4, 5, 8, 9 is a pair every 4."""
    n = len(positions)
    if n and len(set(positions)) == 1:
        return Pattern(1, 0, ((positions[0],),))
    for period in range(1, n // 3 + 1):
        shift = positions[period] - positions[0]
        if all(positions[j + period] - positions[j] == shift for j in range(n - period)):
            return Pattern(period, shift, tuple((i,) for i in positions[:period]))
    return None


def _gather(x: Shape, y: Shape, index: Shape, axis: int, positions: Sequence[int]) -> tuple[Step, ...] | None:
    """Steps of `gather`, with equal or different indices per row; other axes are cut to the index's shape.

    If the op allows it, x and the index, of the given shapes, broadcast to y along the other axes. None if ranks
    differ, or there are more than LARGEST elements.
    """
    if len(index) != len(x) or len(y) != len(x):
        return None
    spreads = tuple(Spread(i, m) for i, (n, m) in enumerate(zip(x, y, strict=True)) if n == 1 != m and i != axis)
    x = tuple(m if n == 1 and i != axis else n for i, (n, m) in enumerate(zip(x, y, strict=True)))
    positions = _broadcast(positions, index, y)
    inner = prod(y[axis + 1 :])
    width = y[axis] * inner
    rows = [positions[i * width + k :: inner][: y[axis]] for i in range(prod(y) // width) for k in range(inner)]
    if all(a == b for a, b in pairwise(rows)):
        cuts = (
            affine_window(i, range(m), 0) for i, (n, m) in enumerate(zip(x, y, strict=True)) if i != axis and n != m
        )
        return *spreads, _select(axis, x[axis], rows[0]), *cuts
    if max(prod(x), prod(y)) > LARGEST:
        return None
    strides = [prod(x[i + 1 :]) for i in range(len(x))]
    flat = []
    for place, position in zip(product(*map(range, y)), positions, strict=True):
        source = (*place[:axis], position + x[axis] if position < 0 else position, *place[axis + 1 :])
        flat.append(sum(i * stride for i, stride in zip(source, strides, strict=True)))
    return *spreads, Reshape((prod(x),)), _select(0, prod(x), flat), Reshape(y)


def _broadcast(positions: Sequence[int], shape: Shape, out: Shape) -> Sequence[int]:
    """Broadcast a flat list of the elements of a tensor (row-major) to another shape."""
    if shape == out:
        return positions
    strides = [0 if n == 1 else prod(shape[i + 1 :]) for i, n in enumerate(shape)]
    places = product(*map(range, out))
    return [positions[sum(i * stride for i, stride in zip(place, strides, strict=True))] for place in places]


def _index(x: Shape, y: Shape, axes: Sequence[int], positions: Sequence[Sequence[int]]) -> tuple[Step, ...]:
    """Index several axes: merge them into one. As in NumPy, the result comes first if other axes lie between them."""
    adjacent = list(axes) == list(range(axes[0], axes[0] + len(axes)))
    at = axes[0] if adjacent else 0
    kept = [i for i in range(len(x)) if i not in axes]
    order = (*kept[:at], *axes, *kept[at:])
    size = prod(x[i] for i in axes)
    flat = [0] * len(positions[0])
    for axis, each in zip(axes, positions, strict=True):
        flat = [f * x[axis] + (i + x[axis] if i < 0 else i) for f, i in zip(flat, each, strict=True)]
    merged = (*(x[i] for i in kept[:at]), size, *(x[i] for i in kept[at:]))
    return Permute(order), Reshape(merged), _select(at, size, flat), Reshape(y)
