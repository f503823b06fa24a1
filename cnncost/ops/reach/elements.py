"""Normalisation, softmax, reductions, transforms; elementwise ops, constants."""

from __future__ import annotations

from cnncost.graph import OpSpec
from cnncost.ops.reach.registry import All, Output, Reach, Reshape, Route, Spread, Step, Window, alike, routes
from cnncost.ops.reach.space import broadcast, mixed, over_groups
from cnncost.ops.reach.windows import moved, up_to

# ---- normalisation, softmax, reductions


def norm(spec: OpSpec) -> Reach:
    """Each element sees everything that its mean and variance are computed over.

    Running statistics are constants, as in eval mode: each element of batch norm then sees only itself. Layer norm
    sees the normalised axes; group norm its group's channels and all of space; instance norm all of space.
    Attributes: fn, statistics, axes, groups.
    """
    shape, fn = spec.inputs[0].shape, spec["fn"]
    space = range(2, len(shape))
    if fn in {"layer", "rms"}:
        first = len(shape) - spec["axes"]
        steps: tuple[Step, ...] = mixed(shape, *range(first, len(shape)))
    elif fn == "group":
        steps = (*mixed(shape, *space), *over_groups(shape, 1, spec["groups"], shape[1]))
    elif not spec["statistics"]:
        steps = ()
    elif fn == "instance":
        steps = mixed(shape, *space)
    else:
        steps = mixed(shape, *(axis for axis in range(len(shape)) if axis != 1))
    return alike(spec, [Route(0, steps)])


def softmax(spec: OpSpec) -> Reach:
    """Each element sees all along the axis. Attribute: axis."""
    shape = spec.inputs[0].shape
    return routes(Route(0, mixed(shape, spec["axis"] % len(shape)) if shape else ()))


def scan(spec: OpSpec) -> Reach:
    """Each element sees all elements up to itself. Attribute: axis."""
    shape = spec.inputs[0].shape
    axis = spec["axis"] % len(shape) if shape else 0
    return alike(spec, [Route(0, (up_to(axis, shape[axis], slides=False),) if shape else ())])


def reduce(spec: OpSpec) -> Reach:
    """Each output sees all along the axes `dim`; without `dim`, the whole input."""
    shape, dim = spec.inputs[0].shape, spec.get("dim")
    named = (dim,) if isinstance(dim, int) else tuple(dim or ())
    axes = {d % len(shape) for d in named} if shape and named else set(range(len(shape)))
    steps: list[Step] = [All(axis) for axis in sorted(axes)]
    return alike(spec, [Route(0, (*steps, Reshape(spec.outputs[0].shape)))])


def sort(spec: OpSpec) -> Reach | None:
    """Each position sees all along the axis. Attributes: unique (how many elements are left is in the data), axis."""
    shape, out = spec.inputs[0].shape, spec.outputs[0].shape
    if not shape or spec["axis"] is None or spec["unique"]:
        return None
    axis = spec["axis"] % len(shape)
    if len(out) < len(shape):
        return alike(spec, [Route(0, (All(axis), Reshape(out)))])
    return alike(spec, [Route(0, (All(axis), Spread(axis, out[axis])))])


def loss(spec: OpSpec) -> Reach | None:
    """The mean or sum sees all of the input."""
    if spec.outputs[0].shape:
        return None
    ways = []
    for i, t in enumerate(spec.inputs):
        ways.append(Route(i, (*(All(axis) for axis in range(len(t.shape))), Reshape(()))))
    return alike(spec, ways)


def fft(spec: OpSpec) -> Reach | None:
    """Each frequency sees all along the transformed axes. Attribute: dims."""
    dims, out = spec.get("dims"), spec.outputs[0].shape
    if dims is None:
        return None
    steps: list[Step] = []
    for d in dims:
        steps += [All(d % len(out)), Spread(d % len(out), out[d])]
    return routes(Route(0, tuple(steps)))


# ---- elementwise, constants


def pointwise(spec: OpSpec) -> Reach | None:
    """Each element sees the elements at its position; inputs broadcast."""
    if spec["fn"] in {"glu", "cross"}:
        return _along(spec)
    ways = _in_place(spec)
    return None if ways is None else routes(*ways)


def _in_place(spec: OpSpec) -> list[Route] | None:
    """Routes by position to the first output; None if an input doesn't broadcast to its shape."""
    ways = []
    for i, t in enumerate(spec.inputs):
        steps = broadcast(t.shape, spec.outputs[0].shape)
        if steps is None:
            return None
        ways.append(Route(i, steps))
    return ways


def quantize(spec: OpSpec) -> Reach | None:
    """Each element sees itself. Ranges that are found on the way, and several tensors, are not followed."""
    alone = spec["fn"] in {"quantize", "dequantize", "fake"} and spec.inputs[0].shape == spec.outputs[0].shape
    return routes(Route(0, ())) if alone else None


def _along(spec: OpSpec) -> Reach | None:
    """GLU combines the two halves of an axis; a component of a cross product sees the two others."""
    out, axis = spec.outputs[0].shape, spec.get("axis")
    if axis is None:
        return None
    axis %= len(out)
    if spec["fn"] == "cross":
        ways = _in_place(spec)
        others = Window(axis, ((1, 2), (0, 2), (0, 1)), None)
        return None if ways is None else routes(*(Route(i, (*steps, others)) for i, steps in ways))
    halves = (moved(axis, range(start, start + out[axis]), start) for start in (0, out[axis]))
    return routes(*(Route(0, (half,)) for half in halves))


def create(spec: OpSpec) -> Reach | None:
    """Constants and random numbers depend on no input, except on parameters given per element (`reads`).

    A Dirichlet distribution draws the numbers of the last axis together.
    """
    reads = spec.get("reads", ())
    ways = []
    for i, t in enumerate(spec.inputs):
        steps = broadcast(t.shape, spec.outputs[0].shape)
        if i in reads:
            if steps is None:
                return None
            ways.append(Route(i, (*steps, *mixed(t.shape, *_drawn_together(spec)))))
    ignored = tuple(i for i in range(len(spec.inputs)) if i not in reads)
    return tuple(Output(tuple(ways), ignored=ignored) for _ in spec.outputs)


def _drawn_together(spec: OpSpec) -> tuple[int, ...]:
    return (len(spec.inputs[0].shape) - 1,) if spec.get("joint") else ()


def dropout(spec: OpSpec) -> Reach | None:
    """Each element sees itself, and the mask that it is multiplied with."""
    ways = _in_place(spec)
    return None if ways is None else alike(spec, ways)


def collective(spec: OpSpec) -> Reach | None:
    """A sum over ranks and a broadcast are elementwise; what other ranks hold is no input of this one's graph."""
    if spec["collective"] not in {"all_reduce", "reduce", "broadcast"} or len(spec.inputs) != len(spec.outputs):
        return None
    return tuple(Output((Route(i),)) for i in range(len(spec.outputs)))


def transfer(spec: OpSpec) -> Reach:
    """Each element sees itself; where a copy is written over a tensor, that one is not seen."""
    return routes(Route(len(spec.inputs) - 1, ()))
