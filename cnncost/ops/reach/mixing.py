"""Reach of products, attention and recurrence."""

from __future__ import annotations

from functools import cache

from cnncost.graph import OpSpec, Shape
from cnncost.masks import Mask
from cnncost.ops.reach.registry import (
    All,
    Output,
    Pattern,
    Permute,
    Reach,
    Reshape,
    Route,
    Spread,
    Step,
    Window,
    alike,
    routes,
)
from cnncost.ops.reach.space import broadcast, mix_axes, mix_groups
from cnncost.ops.reach.windows import affine_window, prefix_window
from cnncost.session import SESSION

MOST_VISIBLE = 1 << 18
"""Maximum number of visible query-key pairs per matrix of a mask; with more, each query is taken to see all keys."""

# ---- products


def linear(spec: OpSpec) -> Reach:
    """Each output feature sees all input features."""
    last = len(spec.inputs[0].shape) - 1
    if not spec.outputs[0].shape or len(spec.outputs[0].shape) <= last:  # the weight is a vector
        return routes(Route(0, (All(last), Reshape(spec.outputs[0].shape))))
    return routes(Route(0, (All(last), Spread(last, spec.outputs[0].shape[-1]))))


def bilinear(spec: OpSpec) -> Reach:
    """Each output feature sees all features of both inputs."""
    last, out = len(spec.inputs[0].shape) - 1, spec.outputs[0].shape[-1]
    return routes(*(Route(i, (All(last), Spread(last, out))) for i in (0, 1)))


def matmul(spec: OpSpec) -> Reach | None:
    """Element m,n sees row m of the left and column n of the right matrix; batches and the addend broadcast."""
    if len(spec.inputs) < 2:
        return None
    *addends, a, b = range(len(spec.inputs))
    left, right, out = spec.inputs[a].shape, spec.inputs[b].shape, spec.outputs[0].shape
    if not left or not right or left[-1] != right[max(len(right) - 2, 0)]:
        return None
    rows, columns = left if len(left) > 1 else (1, *left), right if len(right) > 1 else (*right, 1)
    full = _product_shape(rows, columns)
    row_axes = (rows[-2],) if len(left) > 1 else ()  # a vector's axis is summed over and missing in the result
    column_axes = (columns[-1],) if len(right) > 1 else ()
    if (*full[:-2], *row_axes, *column_axes) != out:
        return None
    end = () if full == out else (Reshape(out),)
    paths = []
    for i, shape, matrix, axis in ((a, left, rows, len(rows) - 1), (b, right, columns, len(columns) - 2)):
        start = () if shape == matrix else (Reshape(matrix),)
        paths.append(Route(i, (*start, *_contract(matrix, full, axis), *end)))
    for i in addends:
        steps = broadcast(spec.inputs[i].shape, out)
        if steps is None:
            return None
        paths.append(Route(i, steps))
    return routes(*paths)


def _product_shape(rows: Shape, columns: Shape) -> Shape:
    """Shape of the product of two matrices with batch axes, which broadcast."""
    size = max(len(rows), len(columns)) - 2
    padded = [(1,) * (size - len(s) + 2) + s[:-2] for s in (rows, columns)]
    return (*(y if x == 1 else x for x, y in zip(*padded, strict=True)), rows[-2], columns[-1])


def _contract(shape: Shape, full: Shape, axis: int) -> tuple[Step, ...]:
    """Steps that sum over an axis and broadcast to the product's shape."""
    return (All(axis), *(broadcast((*shape[:axis], 1, *shape[axis + 1 :]), full) or ()))


def attention(spec: OpSpec, mask: Mask | None = None) -> Reach | None:
    """q: *,L,E; k: *,S,E; v: *,S,V. A query sees itself and those keys and values of its batch row that a mask allows.

    The result's features are those of the values, weighted by all features of queries and keys. Attributes: causal: a
    query sees the keys up to its own position; lower_right: the last query sees all keys. `mask` has known values. If a
    mask is computed from the model's input, each query also sees its own row of the mask.
    """
    q, k, v, *masks = spec.inputs  # and random state, which is not floating
    y = spec.outputs[0].shape
    last, paths = len(y) - 1, []
    keys = _keys(spec, last - 1, k.shape[-2], y[-2], mask)
    for i, x in enumerate((q, k, v)):
        shape = (1,) * (len(y) - len(x.shape)) + x.shape
        steps: list[Step] = [Reshape(shape)] if shape != x.shape else []
        if i < 2:  # features of queries and keys
            steps += [All(last), Spread(last, y[-1])]
        if i > 0:
            steps += keys
        if shape[:-2] != y[:-2]:
            steps += _heads(shape, y)
        paths.append(Route(i, tuple(steps)))
    for i, x in enumerate(masks, 3):
        if not x.floating or len(x.shape) < 2 or x.shape[-1] not in (1, k.shape[-2]):
            continue
        spread = broadcast((*x.shape[:-1], 1), y)
        if spread is not None:
            paths.append(Route(i, (All(len(x.shape) - 1), *spread)))
    return alike(spec, paths)


def _keys(spec: OpSpec, axis: int, keys: int, queries: int, mask: Mask | None) -> list[Step]:
    """Steps from the axis of keys to that of queries."""
    if spec["causal"]:
        shift = keys - queries if spec.get("lower_right") else 0
        sees = tuple(range(min(max(j + shift + 1, 0), keys)) for j in range(queries))
        return [Window(axis, sees, None, slides=True, grows=True)]
    window = _masked(mask, queries, keys) if mask is not None else None
    return [All(axis, slides=True), Spread(axis, queries)] if window is None else [window._replace(axis=axis)]


@cache
def _masked(mask: Mask, queries: int, keys: int) -> Window | None:
    """Return the keys that each query sees as a window; None if each sees all, or the pairs are too many to follow."""
    seen = mask.seen_by(queries, keys) if mask.pairs(queries, keys) <= MOST_VISIBLE * mask.matrices else ()
    if all(len(each) == keys for each in seen):
        return None
    offsets = sorted({k - j for j, each in enumerate(seen) for k in each})
    window = Window(0, seen, None, slides=True)
    if offsets and (
        offsets[0] == 1 - queries or offsets[-1] == keys - 1
    ):  # up to the first or last key, as in a causal mask
        return window._replace(grows=True)
    if all(each == tuple(j + o for o in offsets if 0 <= j + o < keys) for j, each in enumerate(seen)):
        return window._replace(pattern=Pattern(1, 1, (tuple(offsets),)))
    for period in range(1, queries // 2 + 1):  # windows side by side
        if all(tuple(k + period for k in a) == b for a, b in zip(seen, seen[period:], strict=False)):
            return window._replace(pattern=Pattern(period, period, seen[:period]))
    return window


SESSION.own_results("masks as windows", _masked)


def _heads(x: Shape, y: Shape) -> tuple[Step, ...]:
    """Steps that broadcast batches, or lead from the keys' heads to the queries' heads that share them (GQA)."""
    shape = (*x[:-2], *y[-2:])
    if x[-3] != y[-3] and x[-3] > 1 and y[-3] % x[-3] == 0:
        return mix_groups(shape, len(y) - 3, x[-3], y[-3])
    return broadcast(shape, y) or ()


def mha(spec: OpSpec) -> Reach:
    """query, key, value: B,L,D. A query sees all positions of its batch row."""
    y = spec.outputs[0].shape
    paths = [Route(0, mix_axes(y, 2))]
    paths += [Route(i, (All(1, slides=True), Spread(1, y[1]), All(2), Spread(2, y[2]))) for i in (1, 2)]
    return alike(spec, paths)


def encoder_layer(spec: OpSpec) -> Reach:
    """src: B,L,D. Every token sees all tokens of its batch row."""
    shape = spec.inputs[0].shape
    return alike(spec, [Route(0, (*mix_axes(shape, 1, slides=True), *mix_axes(shape, 2)))])


def recurrent(spec: OpSpec) -> Reach | None:
    """A step sees all steps up to itself, or all steps if bidirectional with several layers; the last states see all.

    In a single bidirectional layer, the backward half of the features sees all steps from its own on. Attributes:
    steps_axis (None: unknown), directions, layers.
    """
    axis = spec["steps_axis"]
    if axis is None:
        return None
    x, y = spec.inputs[0].shape, spec.outputs[0].shape
    last, both = len(x) - 1, spec["directions"] == 2
    across: tuple[Step, ...] = (All(last), Spread(last, y[-1]))
    if both and spec["layers"] > 1:
        paths: list[tuple[Step, ...]] = [(*mix_axes(x, axis, slides=True), *across)]
    else:
        paths = _directions(x, axis, y[-1]) if both else [(prefix_window(axis, x[axis]), *across)]
    states = [Output((Route(0, _state(x, axis, t.shape)),)) for t in spec.outputs[1:]]
    return (Output(tuple(Route(0, steps) for steps in paths)), *states)


def _directions(x: Shape, axis: int, width: int) -> list[tuple[Step, ...]]:
    """Routes of each direction: forward in the first half of the features, backward in the second."""
    half, last = width // 2, len(x) - 1
    paths: list[tuple[Step, ...]] = []
    for backwards in (False, True):
        place: list[int | None] = [None] * width
        first = half if backwards else 0
        place[first : first + half] = range(half)
        window = prefix_window(axis, x[axis], backwards=backwards)
        paths.append((window, All(last), Spread(last, half), affine_window(last, place, -first)))
    return paths


def _state(x: Shape, axis: int, state: Shape) -> tuple[Step, ...]:
    """Steps from x (L,N,F or N,L,F or L,F) to a last state (layers·directions,(N,)H), which sees all steps."""
    last = len(x) - 1
    steps: list[Step] = [All(axis, slides=True), All(last), Spread(last, state[-1])]
    if axis == 1:
        steps.append(Permute((1, 0, 2)))
    return (*steps, Spread(0, state[0]))
