"""Ops that mix along whole axes: products, attention, recurrence, normalisation, softmax, reductions, transforms."""

from __future__ import annotations

from cnncost.graph import OpSpec, Shape
from cnncost.ops.reach.registry import (
    All,
    Output,
    Permute,
    Picked,
    Reach,
    Reshape,
    Route,
    Spread,
    Step,
    Window,
    alike,
    reach,
    routes,
)
from cnncost.ops.reach.space import over_groups
from cnncost.ops.reach.windows import moved, up_to


def mixed(shape: Shape, *axes: int, slides: bool = False) -> tuple[Step, ...]:
    """Steps by which every position along these axes sees all of them."""
    return tuple(step for axis in axes for step in (All(axis, slides), Spread(axis, shape[axis])))


def broadcast(shape: Shape, out: Shape) -> tuple[Step, ...] | None:
    """Steps to a broadcast shape; None if it is none."""
    padded = (1,) * (len(out) - len(shape)) + shape
    if len(padded) != len(out) or any(n not in (1, m) for n, m in zip(padded, out, strict=True)):
        return None
    grown = (Spread(axis, m) for axis, (n, m) in enumerate(zip(padded, out, strict=True)) if n != m)
    return ((Reshape(padded),) if padded != shape else ()) + tuple(grown)


# ---- products


@reach("linear")
def linear(spec: OpSpec) -> Reach:
    """Each output feature sees all input features."""
    last = len(spec.inputs[0].shape) - 1
    if not spec.outputs[0].shape or len(spec.outputs[0].shape) <= last:  # a weight that is a vector
        return routes(Route(0, (All(last), Reshape(spec.outputs[0].shape))))
    return routes(Route(0, (All(last), Spread(last, spec.outputs[0].shape[-1]))))


@reach("bilinear")
def bilinear(spec: OpSpec) -> Reach:
    """Each output feature sees all features of both inputs."""
    last, out = len(spec.inputs[0].shape) - 1, spec.outputs[0].shape[-1]
    return routes(*(Route(i, (All(last), Spread(last, out))) for i in (0, 1)))


@reach("matmul")
def matmul(spec: OpSpec) -> Reach | None:
    """(m, n) sees row m of the left and column n of the right; batches broadcast; what is added is broadcast."""
    if len(spec.inputs) < 2:
        return None
    *added, a, b = range(len(spec.inputs))
    left, right, out = spec.inputs[a].shape, spec.inputs[b].shape, spec.outputs[0].shape
    if not left or not right or left[-1] != right[max(len(right) - 2, 0)]:
        return None
    rows, columns = left if len(left) > 1 else (1, *left), right if len(right) > 1 else (*right, 1)
    full = _product_shape(rows, columns)
    kept = (rows[-2],) * (len(left) > 1) + (columns[-1],) * (len(right) > 1)
    if (*full[:-2], *kept) != out:
        return None
    end = () if full == out else (Reshape(out),)
    found = [
        Route(a, (*_contracted(rows, full, len(rows) - 1), *end)),
        Route(b, (*_contracted(columns, full, len(columns) - 2), *end)),
    ]
    for i in added:
        steps = broadcast(spec.inputs[i].shape, out)
        if steps is None:
            return None
        found.append(Route(i, steps))
    return routes(*found)


def _product_shape(rows: Shape, columns: Shape) -> Shape:
    size = max(len(rows), len(columns)) - 2
    padded = [(1,) * (size - len(s) + 2) + s[:-2] for s in (rows, columns)]
    return (*(y if x == 1 else x for x, y in zip(*padded, strict=True)), rows[-2], columns[-1])


def _contracted(shape: Shape, full: Shape, axis: int) -> tuple[Step, ...]:
    return (All(axis), *(broadcast((*shape[:axis], 1, *shape[axis + 1 :]), full) or ()))


@reach("attention")
def attention(spec: OpSpec) -> Reach | None:
    """q: *,L,E; k: *,S,E; v: *,S,V. A query sees itself and all keys and values of its batch row, causal: those so far.

    Attribute: causal. A mask that is computed from the input is seen row by row.
    """
    q, k, v, *rest = spec.inputs
    y = spec.outputs[0].shape
    last, found = len(y) - 1, []
    for i, x in enumerate((q, k, v)):
        steps: list[Step] = [All(last), Spread(last, y[-1])]
        if i:
            keys = x.shape[-2]
            steps += _keys(last - 1, keys, y[-2], bool(spec["causal"]))
        if x.shape[:-2] != y[:-2]:
            steps += _heads(x.shape, y)
        found.append(Route(i, tuple(steps)))
    for i, x in enumerate(rest, 3):
        if not x.floating or len(x.shape) < 2 or x.shape[-1] not in (1, k.shape[-2]):
            continue
        grown = broadcast((*x.shape[:-1], 1), y)
        if grown is not None:
            found.append(Route(i, (All(len(x.shape) - 1), *grown)))
    return alike(spec, found)


def _keys(axis: int, keys: int, queries: int, causal: bool) -> list[Step]:
    if causal:
        sees = tuple(range(min(j + 1, keys)) for j in range(queries))
        return [Window(axis, sees, None, slides=True, grows=True)]
    return [All(axis, slides=True), Spread(axis, queries)]


def _heads(x: Shape, y: Shape) -> tuple[Step, ...]:
    """From the heads of the keys to those of the queries, which share them (GQA), or broadcast batches."""
    shape = (*x[:-2], *y[-2:])
    if len(x) > 2 and x[-3] != y[-3] and x[-3] > 1 and y[-3] % x[-3] == 0:
        return over_groups(shape, len(y) - 3, x[-3], y[-3])
    return broadcast(shape, y) or ()


@reach("mha")
def mha(spec: OpSpec) -> Reach:
    """query, key, value: B,L,D. A query sees all of its batch row."""
    y = spec.outputs[0].shape
    found = [Route(0, mixed(y, 2))]
    found += [Route(i, (All(1, slides=True), Spread(1, y[1]), All(2), Spread(2, y[2]))) for i in (1, 2)]
    return alike(spec, found)


@reach("encoder_layer")
def encoder_layer(spec: OpSpec) -> Reach:
    """src: B,L,D. Every token sees all of its batch row."""
    shape = spec.inputs[0].shape
    return alike(spec, [Route(0, (*mixed(shape, 1, slides=True), *mixed(shape, 2)))])


@reach("recurrent")
def recurrent(spec: OpSpec) -> Reach | None:
    """A step sees all steps so far; in two directions and several layers, all; the last states see all.

    Attributes: steps_axis, directions, layers.
    """
    axis = spec["steps_axis"]
    if axis is None:
        return None
    x, y = spec.inputs[0].shape, spec.outputs[0].shape
    last, both = len(x) - 1, spec["directions"] == 2
    across: tuple[Step, ...] = (All(last), Spread(last, y[-1]))
    if both and spec["layers"] > 1:
        found = Output(
            (Route(0, (*mixed(x, axis, slides=True), *across))),
        )
    elif both:
        found = (Output(tuple(Route(0, steps) for steps in _directions(x, axis, y[-1]))),)
    else:
        found = (Output((Route(0, (up_to(axis, x[axis]), *across)),)),)
    states = tuple(Output((Route(0, _state(x, axis, t.shape)),)) for t in spec.outputs[1:])
    return found + states


def _directions(x: Shape, axis: int, width: int) -> list[tuple[Step, ...]]:
    """Forwards in the first half of the features, backwards in the second."""
    half, last, ways = width // 2, len(x) - 1, []
    for backwards in (False, True):
        place: list[int | None] = [None] * width
        place[backwards * half : backwards * half + half] = range(half)
        window = up_to(axis, x[axis], backwards=backwards)
        ways.append((window, All(last), Spread(last, half), moved(last, place, -half * backwards)))
    return ways


def _state(x: Shape, axis: int, state: Shape) -> tuple[Step, ...]:
    """x: L,N,F or N,L,F or L,F; state: layers·directions,(N,)H."""
    last = len(x) - 1
    steps: list[Step] = [All(axis, slides=True), All(last), Spread(last, state[-1])]
    if axis == 1:
        steps.append(Permute((1, 0, 2)))
    return (*steps, Spread(0, state[0]))


# ---- normalisation, softmax, reductions


@reach("norm")
def norm(spec: OpSpec) -> Reach:
    """Each element sees all that its mean and variance are taken over.

    Running statistics are constants, as in eval mode: batch norm then sees itself alone. Layer norm sees the
    normalised axes; group norm its group's channels and all of space; instance norm all of space.
    Attributes: fn, statistics, axes, groups.
    """
    shape, fn = spec.inputs[0].shape, spec["fn"]
    space = range(2, len(shape))
    if fn in {"layer", "rms"}:
        first = len(shape) - spec["axes"]
        steps = mixed(shape, *range(first, len(shape)))
    elif fn == "group":
        steps = (*mixed(shape, *space), *over_groups(shape, 1, spec["groups"], shape[1]))
    elif not spec["statistics"]:
        steps = ()
    elif fn == "instance":
        steps = mixed(shape, *space)
    else:
        steps = mixed(shape, *(axis for axis in range(len(shape)) if axis != 1))
    return alike(spec, [Route(0, steps)])


@reach("softmax")
def softmax(spec: OpSpec) -> Reach:
    """Each element sees all along the axis. Attribute: axis."""
    shape = spec.inputs[0].shape
    return routes(Route(0, mixed(shape, spec["axis"] % len(shape)) if shape else ()))


@reach("scan")
def scan(spec: OpSpec) -> Reach:
    """Each element sees those so far. Attribute: axis."""
    shape = spec.inputs[0].shape
    axis = spec["axis"] % len(shape) if shape else 0
    return alike(spec, [Route(0, (up_to(axis, shape[axis], slides=False),) if shape else ())])


@reach("reduce")
def reduce(spec: OpSpec) -> Reach:
    """Sees all along the axes `dim`; without them, all."""
    shape, dim = spec.inputs[0].shape, spec.get("dim")
    named = (dim,) if isinstance(dim, int) else tuple(dim or ())
    axes = {d % len(shape) for d in named} if shape and named else set(range(len(shape)))
    steps = (*(All(axis) for axis in sorted(axes)), Reshape(spec.outputs[0].shape))
    return alike(spec, [Route(0, steps)])


@reach("sort")
def sort(spec: OpSpec) -> Reach | None:
    """Each place sees all along the axis. Attributes: fn, axis."""
    shape, out = spec.inputs[0].shape, spec.outputs[0].shape
    if not shape or spec["axis"] is None or "unique" in spec["fn"]:
        return None
    axis = spec["axis"] % len(shape)
    if len(out) < len(shape):
        return alike(spec, [Route(0, (All(axis), Reshape(out)))])
    return alike(spec, [Route(0, (All(axis), Spread(axis, out[axis])))])


@reach("loss")
def loss(spec: OpSpec) -> Reach | None:
    """Its mean or sum sees all of the input."""
    if spec.outputs[0].shape:
        return None
    found = []
    for i, t in enumerate(spec.inputs):
        found.append(Route(i, (*(All(axis) for axis in range(len(t.shape))), Reshape(()))))
    return alike(spec, found)


@reach("fft")
def fft(spec: OpSpec) -> Reach | None:
    """Each frequency sees all along the transformed axes. Attribute: dims."""
    dims, out = spec.get("dims"), spec.outputs[0].shape
    if dims is None:
        return None
    steps = [step for d in dims for step in (All(d % len(out)), Spread(d % len(out), out[d]))]
    return routes(Route(0, tuple(steps)))


# ---- elementwise, constants, picking


@reach("pointwise")
def pointwise(spec: OpSpec) -> Reach | None:
    """Each element sees the elements at its place; inputs broadcast."""
    out = spec.outputs[0].shape
    if spec["fn"] in {"glu", "cross"}:
        return _along(spec)
    found = []
    for i, t in enumerate(spec.inputs):
        steps = broadcast(t.shape, out)
        if steps is None:
            return None
        found.append(Route(i, steps))
    return routes(*found)


def _along(spec: OpSpec) -> Reach | None:
    """GLU takes its halves of an axis together; a cross product all three."""
    out, axis = spec.outputs[0].shape, spec.get("axis")
    if axis is None:
        return None
    axis %= len(out)
    if spec["fn"] == "cross":
        return routes(*(Route(i, mixed(out, axis)) for i in range(len(spec.inputs))))
    halves = (moved(axis, range(start, start + out[axis]), start) for start in (0, out[axis]))
    return routes(*(Route(0, (half,)) for half in halves))


@reach("create")
def create(spec: OpSpec) -> Reach:
    """Constants and random numbers depend on no input."""
    return tuple(Output(()) for _ in spec.outputs)


@reach("dropout")
def dropout(spec: OpSpec) -> Reach | None:
    """Each element sees itself, and the mask that it is multiplied with."""
    found = []
    for i, t in enumerate(spec.inputs):
        steps = broadcast(t.shape, spec.outputs[0].shape)
        if steps is None:
            return None
        found.append(Route(i, steps))
    return alike(spec, found)


@reach("gather")
def gather(spec: OpSpec) -> Reach | None:
    """An embedding sees its index; elements picked along an axis see one that the data decide."""
    x, y = spec.inputs[0].shape, spec.outputs[0].shape
    if spec["fn"] == "embedding":
        ids = spec.inputs[1].shape
        return routes(Route(1, (Reshape((*ids, 1)), Spread(len(ids), y[-1]))))
    if spec["fn"] == "one_hot":
        return routes(Route(0, (Reshape((*x, 1)), Spread(len(x), y[-1]))))
    dim = spec.get("dim")
    if spec["fn"] not in {"index_select", "gather", "take_along_dim"} or dim is None or len(x) != len(y):
        return None
    axis = dim % len(x)
    if spec["fn"] != "index_select" and x[:axis] + x[axis + 1 :] != y[:axis] + y[axis + 1 :]:
        return None
    return routes(Route(0, (Picked(axis, y[axis]),)))
