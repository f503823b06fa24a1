"""Reach of normalization, softmax, reductions and transforms, and of elementwise ops and constants."""

from __future__ import annotations

from cnncost.graph import OpSpec
from cnncost.ops.reach.registry import All, Output, Reach, Reshape, Route, Spread, Step, Window, alike, routes
from cnncost.ops.reach.space import broadcast, mix_axes, mix_groups
from cnncost.ops.reach.windows import affine_window, prefix_window

# ---- normalization, softmax, reductions


def norm(spec: OpSpec) -> Reach:
    """Each element sees everything that its mean and variance are computed over.

    Running statistics are constants, as in eval mode: with them, each element sees only itself. Layer norm sees
    the normalized axes; group norm its group's channels and all of space; instance norm all of space.
    Attributes: fn, statistics, axes, groups.
    """
    shape, fn = spec.inputs[0].shape, spec["fn"]
    space = range(2, len(shape))
    if fn in {"layer", "rms"}:
        first = len(shape) - spec["axes"]
        steps: tuple[Step, ...] = mix_axes(shape, *range(first, len(shape)))
    elif fn == "group":
        steps = (*mix_axes(shape, *space), *mix_groups(shape, 1, spec["groups"], shape[1]))
    elif not spec["statistics"]:
        steps = ()
    elif fn == "instance":
        steps = mix_axes(shape, *space)
    else:
        steps = mix_axes(shape, *(axis for axis in range(len(shape)) if axis != 1))
    return alike(spec, [Route(0, steps)])


def softmax(spec: OpSpec) -> Reach:
    """Each element sees all elements along the axis. Attribute: axis."""
    shape = spec.inputs[0].shape
    return routes(Route(0, mix_axes(shape, spec["axis"] % len(shape)) if shape else ()))


def scan(spec: OpSpec) -> Reach:
    """Each element sees all elements up to itself along the axis. Attribute: axis."""
    shape = spec.inputs[0].shape
    axis = spec["axis"] % len(shape) if shape else 0
    return alike(spec, [Route(0, (prefix_window(axis, shape[axis], slides=False),) if shape else ())])


def reduce(spec: OpSpec) -> Reach:
    """Each output sees all elements along the axes `dim`; without `dim`, the whole input."""
    shape, dim = spec.inputs[0].shape, spec.get("dim")
    named = (dim,) if isinstance(dim, int) else tuple(dim or ())
    axes = {d % len(shape) for d in named} if shape and named else set(range(len(shape)))
    steps: list[Step] = [All(axis) for axis in sorted(axes)]
    return alike(spec, [Route(0, (*steps, Reshape(spec.outputs[0].shape)))])


def sort(spec: OpSpec) -> Reach | None:
    """Each position sees all elements along the axis. None if the number of results depends on data, or without axis.

    Attributes: unique (the number of results depends on data), axis.
    """
    shape, out = spec.inputs[0].shape, spec.outputs[0].shape
    if not shape or spec["axis"] is None or spec["unique"]:
        return None
    axis = spec["axis"] % len(shape)
    if len(out) < len(shape):
        return alike(spec, [Route(0, (All(axis), Reshape(out)))])
    return alike(spec, [Route(0, (All(axis), Spread(axis, out[axis])))])


def loss(spec: OpSpec) -> Reach | None:
    """A mean or sum sees every input completely; None if the loss is not reduced."""
    if spec.outputs[0].shape:
        return None
    paths = []
    for i, t in enumerate(spec.inputs):
        paths.append(Route(i, (*(All(axis) for axis in range(len(t.shape))), Reshape(()))))
    return alike(spec, paths)


def fft(spec: OpSpec) -> Reach | None:
    """Each frequency sees all elements along the transformed axes. Attribute: dims."""
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
    elementwise = spec["fn"] in {"quantize", "dequantize", "fake"} and spec.inputs[0].shape == spec.outputs[0].shape
    return routes(Route(0, ())) if elementwise else None


def _along_axis(spec: OpSpec) -> Reach | None:
    """Reach within an axis: GLU combines its halves; each component of a cross product sees the two others."""
    out, axis = spec.outputs[0].shape, spec.get("axis")
    if axis is None:
        return None
    axis %= len(out)
    if spec["fn"] == "cross":
        paths = _by_position(spec)
        other_components = Window(axis, ((1, 2), (0, 2), (0, 1)), None)
        return None if paths is None else routes(*(Route(i, (*steps, other_components)) for i, steps in paths))
    halves = (affine_window(axis, range(start, start + out[axis]), start) for start in (0, out[axis]))
    return routes(*(Route(0, (half,)) for half in halves))


def create(spec: OpSpec) -> Reach | None:
    """Constants and random numbers depend only on inputs that parametrize each element's distribution (`reads`).

    With `joint`, as for a Dirichlet distribution, they depend on all parameters along the last axis.
    """
    reads = spec.get("reads", ())
    paths = []
    for i, t in enumerate(spec.inputs):
        steps = broadcast(t.shape, spec.outputs[0].shape)
        if i in reads:
            if steps is None:
                return None
            paths.append(Route(i, (*steps, *mix_axes(t.shape, *_joint_axes(spec)))))
    ignored = tuple(i for i in range(len(spec.inputs)) if i not in reads)
    return tuple(Output(tuple(paths), ignored=ignored) for _ in spec.outputs)


def _joint_axes(spec: OpSpec) -> tuple[int, ...]:
    """Axes along which random numbers are drawn together."""
    return (len(spec.inputs[0].shape) - 1,) if spec.get("joint") else ()


def dropout(spec: OpSpec) -> Reach | None:
    """Each element sees itself and the element of the mask that it is multiplied by."""
    paths = _by_position(spec)
    return None if paths is None else alike(spec, paths)


def collective(spec: OpSpec) -> Reach | None:
    """A reduction over ranks or a broadcast is elementwise: other ranks' tensors are no inputs of this Graph.

    None for other collectives.
    """
    if spec["collective"] not in {"all_reduce", "reduce", "broadcast"} or len(spec.inputs) != len(spec.outputs):
        return None
    return tuple(Output((Route(i),)) for i in range(len(spec.outputs)))


def transfer(spec: OpSpec) -> Reach:
    """Each element sees its source in the last input; an input before that is the tensor that the copy overwrites."""
    return routes(Route(len(spec.inputs) - 1, ()))
