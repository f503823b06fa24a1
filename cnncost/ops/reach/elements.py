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
    paths = []
    for i, t in enumerate(spec.inputs):
        paths.append(Route(i, (*(All(axis) for axis in range(len(t.shape))), Reshape(()))))
    return alike(spec, paths)


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
        return _along_axis(spec)
    paths = _by_position(spec)
    return None if paths is None else routes(*paths)


def _by_position(spec: OpSpec) -> list[Route] | None:
    """Routes on which each element of the first output sees its own position; None if an input doesn't broadcast."""
    paths = []
    for i, t in enumerate(spec.inputs):
        steps = broadcast(t.shape, spec.outputs[0].shape)
        if steps is None:
            return None
        paths.append(Route(i, steps))
    return paths


def quantize(spec: OpSpec) -> Reach | None:
    """Each element sees itself. None for ops that compute a range from the data or have several inputs."""
    alone = spec["fn"] in {"quantize", "dequantize", "fake"} and spec.inputs[0].shape == spec.outputs[0].shape
    return routes(Route(0, ())) if alone else None


def _along_axis(spec: OpSpec) -> Reach | None:
    """GLU combines the two halves of an axis; a component of a cross product sees the two others."""
    out, axis = spec.outputs[0].shape, spec.get("axis")
    if axis is None:
        return None
    axis %= len(out)
    if spec["fn"] == "cross":
        paths = _by_position(spec)
        others = Window(axis, ((1, 2), (0, 2), (0, 1)), None)
        return None if paths is None else routes(*(Route(i, (*steps, others)) for i, steps in paths))
    halves = (moved(axis, range(start, start + out[axis]), start) for start in (0, out[axis]))
    return routes(*(Route(0, (half,)) for half in halves))


def create(spec: OpSpec) -> Reach | None:
    """Constants and random numbers depend on no input, except on parameters given per element (`reads`).

    A Dirichlet distribution draws the numbers of the last axis together.
    """
    reads = spec.get("reads", ())
    paths = []
    for i, t in enumerate(spec.inputs):
        steps = broadcast(t.shape, spec.outputs[0].shape)
        if i in reads:
            if steps is None:
                return None
            paths.append(Route(i, (*steps, *mixed(t.shape, *_drawn_together(spec)))))
    ignored = tuple(i for i in range(len(spec.inputs)) if i not in reads)
    return tuple(Output(tuple(paths), ignored=ignored) for _ in spec.outputs)


def _drawn_together(spec: OpSpec) -> tuple[int, ...]:
    return (len(spec.inputs[0].shape) - 1,) if spec.get("joint") else ()


def dropout(spec: OpSpec) -> Reach | None:
    """Each element sees itself and the element of the mask that it is multiplied by."""
    paths = _by_position(spec)
    return None if paths is None else alike(spec, paths)


def collective(spec: OpSpec) -> Reach | None:
    """A sum over ranks and a broadcast are elementwise: other ranks' tensors are not inputs of this Graph."""
    if spec["collective"] not in {"all_reduce", "reduce", "broadcast"} or len(spec.inputs) != len(spec.outputs):
        return None
    return tuple(Output((Route(i),)) for i in range(len(spec.outputs)))


def transfer(spec: OpSpec) -> Reach:
    """Each element sees its source; a tensor that the copy overwrites (then the first input) is not seen."""
    return routes(Route(len(spec.inputs) - 1, ()))
