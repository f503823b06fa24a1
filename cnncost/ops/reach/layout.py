"""Ops that move elements: views, copies, slicing and concatenation. Looked up by `fn`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from math import prod
from typing import TypeAlias

from cnncost.graph import OpSpec, Shape
from cnncost.ops.reach.registry import Output, Permute, Reach, Reshape, Route, Step, routes
from cnncost.ops.reach.space import broadcast, unfolded
from cnncost.ops.reach.windows import moved, taken

Move: TypeAlias = "Callable[[OpSpec], Reach | None]"
_MOVES: dict[str, Move] = {}


def moves(names: str) -> Callable[[Move], Move]:
    """Register the rule of these layout functions and of their `_copy` variants."""

    def register(function: Move) -> Move:
        for name in names.split():
            _MOVES[name] = _MOVES[f"{name}_copy"] = function
        return function

    return register


def layout(spec: OpSpec) -> Reach | None:
    """Dispatch by function. Attributes: fn, and the arguments of the function."""
    function = _MOVES.get(spec["fn"])
    return function(spec) if function is not None else None


def in_shape(shape: Shape, *steps: Step) -> Reach:
    """The steps, followed by a reshape to the output's shape."""
    return routes(Route(0, (*steps, Reshape(shape))))


def axes_of(value: int | tuple[int, ...], rank: int) -> tuple[int, ...]:
    """One axis or several as nonnegative indices."""
    named = (value,) if isinstance(value, int) else value
    return tuple(d % rank for d in named)


# ---- same elements, same order


@moves(
    "alias detach view _unsafe_view reshape _reshape_alias flatten unflatten ravel view_as reshape_as squeeze "
    "unsqueeze _conj resolve_conj resolve_neg _neg_view lift_fresh lift contiguous clone _to_copy to type_as cpu cuda "
    "tril triu requires_grad atleast_1d atleast_2d atleast_3d"
)
def same(spec: OpSpec) -> Reach | None:
    """The elements in the same order; `tril` and `triu` zero elements in place."""
    x, y = spec.inputs[0].shape, spec.outputs[0].shape
    if prod(x) != prod(y):
        return None
    return (Output((Route(0, (Reshape(y),)),), ignored=tuple(range(1, len(spec.inputs)))),)


@moves("copy")
def copied(spec: OpSpec) -> Reach | None:
    """self, src: the old contents of self are overwritten."""
    if len(spec.inputs) < 2:
        return same(spec)
    steps = broadcast(spec.inputs[1].shape, spec.outputs[0].shape)
    return None if steps is None else (Output((Route(1, steps),), ignored=(0,)),)


@moves("expand expand_as broadcast_to")
def expand(spec: OpSpec) -> Reach | None:
    """Expand axes of one position."""
    steps = broadcast(spec.inputs[0].shape, spec.outputs[0].shape)
    if steps is None:
        return None
    return (Output((Route(0, steps),), ignored=tuple(range(1, len(spec.inputs)))),)


@moves("broadcast_tensors")
def broadcast_all(spec: OpSpec) -> Reach:
    """Broadcast each input to the common shape."""
    several = range(len(spec.inputs))
    found = [broadcast(x.shape, y.shape) for x, y in zip(spec.inputs, spec.outputs, strict=True)]
    return tuple(
        None if steps is None else Output((Route(i, steps),), ignored=tuple(k for k in several if k != i))
        for i, steps in enumerate(found)
    )


# ---- permuted axes


@moves("permute")
def permute(spec: OpSpec) -> Reach:
    """Attribute: dims."""
    return routes(Route(0, (Permute(axes_of(spec["dims"], len(spec.inputs[0].shape))),)))


@moves("transpose swapaxes swapdims t numpy_T mT mH H adjoint matrix_H")
def transpose(spec: OpSpec) -> Reach:
    """Attributes: dim0, dim1; the matrix forms swap the last two axes, `numpy_T` reverses all axes."""
    rank = len(spec.inputs[0].shape)
    order = list(range(rank))
    if spec["fn"].startswith("numpy_T"):
        order.reverse()
    elif rank:
        first = spec.get("dim0", spec.get("axis0", -2)) % rank
        second = spec.get("dim1", spec.get("axis1", -1)) % rank
        order[first], order[second] = second, first
    return routes(Route(0, (Permute(tuple(order)),)))


@moves("movedim moveaxis")
def movedim(spec: OpSpec) -> Reach:
    """Attributes: source, destination."""
    rank = len(spec.inputs[0].shape)
    source, destination = axes_of(spec["source"], rank), axes_of(spec["destination"], rank)
    rest = iter(axis for axis in range(rank) if axis not in source)
    placed = dict(zip(destination, source, strict=True))
    return routes(Route(0, (Permute(tuple(placed[i] if i in placed else next(rest) for i in range(rank))),)))


# ---- parts


@moves("slice narrow")
def cut(spec: OpSpec) -> Reach:
    """Attributes: dim, start, end, step; or dim, start, length."""
    shape, y = spec.inputs[0].shape, spec.outputs[0].shape
    (axis,) = axes_of(spec["dim"], len(shape))
    size, step = shape[axis], spec.get("step", 1)
    start = min(max(_from_end(spec.get("start", 0), size), 0), size)
    return routes(Route(0, (moved(axis, range(start, start + y[axis] * step, step), start, step),)))


def _from_end(index: int, size: int) -> int:
    return index + size if index < 0 else index


@moves("select")
def select(spec: OpSpec) -> Reach:
    """Attributes: dim, index. One fixed position, whatever the size of the axis."""
    shape = spec.inputs[0].shape
    (axis,) = axes_of(spec["dim"], len(shape))
    index = _from_end(spec["index"], shape[axis])
    return in_shape(spec.outputs[0].shape, moved(axis, [index], index, 0))


@moves("split split_with_sizes unsafe_split unsafe_split_with_sizes chunk unsafe_chunk tensor_split")
def split(spec: OpSpec) -> Reach:
    """Attribute: dim. The sizes are those of the outputs."""
    (axis,) = axes_of(spec["dim"], len(spec.inputs[0].shape))
    sizes = [t.shape[axis] for t in spec.outputs]
    starts = accumulate(sizes, initial=0)
    return tuple(
        Output((Route(0, (moved(axis, range(start, start + size), start),)),))
        for start, size in zip(starts, sizes, strict=False)
    )


@moves("unbind")
def unbind(spec: OpSpec) -> Reach:
    """Attribute: dim."""
    (axis,) = axes_of(spec["dim"], len(spec.inputs[0].shape))
    return tuple(Output((Route(0, (moved(axis, [i], i, 0), Reshape(t.shape))),)) for i, t in enumerate(spec.outputs))


@moves("unfold")
def unfold(spec: OpSpec) -> Reach:
    """Attributes: dimension, size, step. Windows; the positions within a window become a new last axis."""
    shape = spec.inputs[0].shape
    if not shape:  # a 0-d tensor: a window of one element, or of none
        return routes(Route(0, (Reshape((1,)),))) if spec["size"] else routes()
    (axis,) = axes_of(spec["dimension"], len(shape))
    count, kernel = spec.outputs[0].shape[axis], spec["size"]
    order = (*range(axis + 1), *range(axis + 2, len(shape) + 1), axis + 1)
    return routes(Route(0, (*unfolded(shape, axis, count, kernel, spec["step"], 0, 1), Permute(order))))


@moves("diagonal")
def diagonal(spec: OpSpec) -> Reach:
    """Attributes: offset, dim1, dim2. Position i of the new last axis is (i, i + offset) of the two."""
    shape, y = spec.inputs[0].shape, spec.outputs[0].shape
    a, b = axes_of((spec["dim1"], spec["dim2"]), len(shape))
    rest, offset, width = [i for i in range(len(shape)) if i not in (a, b)], spec["offset"], shape[b]
    first = offset if offset >= 0 else -offset * width
    merged = (*(shape[i] for i in rest), shape[a] * width)
    picked = taken(len(rest), [first + i * (width + 1) for i in range(y[-1])])
    return routes(Route(0, (Permute((*rest, a, b)), Reshape(merged), picked)))


# ---- joined


@moves("cat concat concatenate")
def cat(spec: OpSpec) -> Reach | None:
    """Attribute: dim. Each input has its own range along the axis."""
    y = spec.outputs[0].shape
    (axis,) = axes_of(spec["dim"], len(y))
    given = [
        (i, t.shape) for i, t in enumerate(spec.inputs) if t.shape != (0,) or len(y) == 1
    ]  # torch skips empty 1-d inputs
    sizes = tuple(shape[axis] for _, shape in given)
    return (Output(tuple(Route(i) for i, _ in given), joined=axis, sizes=sizes),) if sum(sizes) == y[axis] else None


@moves("stack")
def stack(spec: OpSpec) -> Reach:
    """Attribute: dim. Each input has its own position on a new axis."""
    y = spec.outputs[0].shape
    (axis,) = axes_of(spec["dim"], len(y))
    one = (*y[:axis], 1, *y[axis + 1 :])
    found = tuple(Route(i, (Reshape(one),)) for i in range(len(spec.inputs)))
    return (Output(found, joined=axis, sizes=(1,) * len(found)),)
