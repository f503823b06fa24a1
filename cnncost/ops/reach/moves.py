"""Layout ops as moves, to which front ends lower views, copies and shuffles.

The attribute `moves` of a layout op is a tuple of moves, applied in order. Each is a name and its arguments:

    squeeze, flatten, clone      (("reshape", (2, 12)),)
    transpose of axes 0 and 1    (("permute", (1, 0, 2)),)
    flip of axis 2, of size 9    (("slice", 2, 8, 9, -1),)
    pixel shuffle of 4×5×5 by 2  (("reshape", (1, 2, 2, 5, 5)), ("permute", (0, 3, 1, 4, 2)), ("reshape", (1, 10, 10)))
    stack of x: 3 along axis 1   (("reshape", (3, 1)), ("cat", 1))

Axes are nonnegative, sizes and positions absolute. The first move may be `input`: the index of the tensor that is moved
(default: 0; the other inputs only provide a shape, or are overwritten). The last may be `cat` (preceding moves apply to
each input), or `split` or `unbind` (each output is a part). `broadcast` is never combined with other moves. `moves` is
None if it is unknown which elements go where, or if moves can't express it; receptive fields after the op are then
unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any, Literal, TypeAlias

from cnncost.graph import OpSpec, Shape
from cnncost.ops.reach.registry import Output, Pattern, Permute, Reach, Reshape, Route, Step, Window, shape_after
from cnncost.ops.reach.space import broadcast, count_windows, unfold_steps
from cnncost.ops.reach.windows import affine_window, gather_window

Move: TypeAlias = "tuple[Any, ...]"
Steps: TypeAlias = "Callable[..., tuple[Step, ...]]"
"""Function from the shape before a move, and the move's arguments, to the steps of its route."""
_MOVES: dict[str, tuple[tuple[object, ...], Steps]] = {}
JOINING, DIVIDING = ("cat",), ("split", "unbind")
_ONE = (int,)
_AROUND: dict[str, tuple[object, ...]] = {"input": _ONE, "cat": _ONE, "split": _ONE, "unbind": _ONE, "broadcast": ()}
"""Moves that come first or last and select, join or divide tensors, with the types of their arguments."""


def move(*arguments: object) -> Callable[[Steps], Steps]:
    """Register a move under its function's name, with the types of its arguments after the shape."""

    def register(function: Steps) -> Steps:
        _MOVES[function.__name__] = (arguments, function)
        return function

    return register


def argument_types(name: str) -> tuple[object, ...] | None:
    """Return the types of a move's arguments; None if there is no such move."""
    return _MOVES[name][0] if name in _MOVES else _AROUND.get(name)


def names() -> tuple[str, ...]:
    """Return the names of all moves."""
    return (*_MOVES, *_AROUND)


def layout(spec: OpSpec) -> Reach | None:
    """Return the routes that the moves describe; None without moves. Attribute: moves."""
    moves: tuple[Move, ...] | None = spec["moves"]
    if moves is None:
        return None
    last, *arguments = moves[-1] if moves else ("",)
    if last == "broadcast":
        return _broadcast(spec)
    if last in JOINING:
        return _join(spec, moves[:-1], *arguments)
    source = moves[0][1] if moves and moves[0][0] == "input" else 0
    ignored = tuple(i for i in range(len(spec.inputs)) if i != source)
    rearranging = moves[1:] if moves and moves[0][0] == "input" else moves
    divides = last in DIVIDING
    steps, shape = follow(spec.inputs[source].shape, rearranging[:-1] if divides else rearranging)
    parts = _divide(spec, last, shape, *arguments) if divides else [()]
    return tuple(Output((Route(source, (*steps, *part)),), ignored=ignored) for part in parts)


def follow(shape: Shape, moves: tuple[Move, ...]) -> tuple[tuple[Step, ...], Shape]:
    """Return the steps of moves that start from a shape, and the shape that they lead to."""
    steps: list[Step] = []
    for name, *arguments in moves:
        steps_of_move = _MOVES[name][1](shape, *arguments)
        shape = shape_after(shape, steps_of_move)
        steps += steps_of_move
    return tuple(steps), shape


# ---- moves of one tensor


@move(tuple[int, ...])
def reshape(shape: Shape, to: tuple[int, ...]) -> tuple[Step, ...]:  # noqa: ARG001  # any shape of as many elements
    """The elements in the same order."""
    return (Reshape(to),)


@move(tuple[int, ...])
def permute(shape: Shape, order: tuple[int, ...]) -> tuple[Step, ...]:  # noqa: ARG001
    """Axis i of the result is axis `order[i]`."""
    return (Permute(order),)


@move(tuple[int, ...])
def expand(shape: Shape, to: tuple[int, ...]) -> tuple[Step, ...]:
    """Axes of one position are expanded, missing leading axes added."""
    steps = broadcast(shape, to)
    if steps is None:
        raise ValueError(f"{shape} does not broadcast to {to}")
    return steps


@move(int, int, int, int)
def slice(shape: Shape, axis: int, start: int, length: int, step: int) -> tuple[Step, ...]:  # noqa: A001  # a move's name
    """Positions start, start + step, …; a negative step goes backwards, as in a flip.

    A single position is fixed, as in `select`, unless the axis has no other or the step is not 1.
    """
    fixed = length == step == 1 < shape[axis]
    return (affine_window(axis, range(start, start + length * step, step), start, 0 if fixed else step),)


@move(int, int)
def select(shape: Shape, axis: int, index: int) -> tuple[Step, ...]:
    """One fixed position of the axis, which is dropped."""
    return affine_window(axis, [index], index, 0), Reshape((*shape[:axis], *shape[axis + 1 :]))


@move(int, int, int, Literal["constant", "reflect", "replicate", "circular"])
def pad(shape: Shape, axis: int, before: int, after: int, mode: str) -> tuple[Step, ...]:
    """Positions added before and after; negative: removed. Modes: constant, reflect, replicate, circular."""
    size = shape[axis]
    positions = [j - before for j in range(size + before + after)]
    if mode == "circular":  # wraps around the positions that are left after cropping
        first, remaining = max(0, -before), size + min(0, before) + min(0, after)
        if remaining > 0:
            positions = [first + (j - first) % remaining for j in positions]
        else:  # then torch leaves the new positions uninitialized
            mode = "constant"
    outside = _OUTSIDE[mode]
    return (affine_window(axis, [j if 0 <= j < size else outside(j, size) for j in positions], -before),)


_OUTSIDE: dict[str, Callable[[int, int], int | None]] = {
    "constant": lambda _i, _n: None,  # depends on nothing
    "reflect": lambda i, n: -i if i < 0 else 2 * (n - 1) - i,
    "replicate": lambda i, n: 0 if i < 0 else n - 1,
    "circular": lambda i, n: i % n,
}
"""By mode: the source of an element at position i outside an axis of n positions; None if it is a constant."""


@move(int, int)
def roll(shape: Shape, axis: int, by: int) -> tuple[Step, ...]:
    """Positions shifted cyclically. The pattern far from borders uses the shortest of equivalent shifts."""
    size = shape[axis] or 1
    short = by % size if by % size <= size // 2 else by % size - size
    return (affine_window(axis, [(j - by) % size for j in range(shape[axis])], -short),)


@move(int, int)
def tile(shape: Shape, axis: int, times: int) -> tuple[Step, ...]:
    """The whole axis repeated: 0, 1, 2, 0, 1, 2."""
    return (gather_window(axis, [j % shape[axis] for j in range(shape[axis] * times)]),)


@move(int, int)
def repeat(shape: Shape, axis: int, times: int) -> tuple[Step, ...]:
    """Each position repeated: 0, 0, 1, 1."""
    sees = tuple((j // times,) for j in range(shape[axis] * times))
    return (Window(axis, sees, Pattern(times, 1, ((0,),) * times)),)


@move(int, int, int, int, int)
def unfold(shape: Shape, axis: int, kernel: int, stride: int, padding: int, dilation: int) -> tuple[Step, ...]:
    """Windows along the axis; a new axis after it has the positions within each window."""
    count = count_windows(shape[axis], kernel, stride, padding, dilation)
    return unfold_steps(shape, axis, count, kernel, stride, padding, dilation)


@move(int, int, int)
def diagonal(shape: Shape, first: int, second: int, offset: int) -> tuple[Step, ...]:
    """Position i of a new last axis is (i, i + offset) of two axes, which are dropped."""
    kept, width = [i for i in range(len(shape)) if i not in (first, second)], shape[second]
    low, high = min(offset, 0), max(offset, 0)
    length = max(min(shape[first] + low, width - high), 0)
    merged = (*(shape[i] for i in kept), shape[first] * width)
    start = high - low * width
    return (
        Permute((*kept, first, second)),
        Reshape(merged),
        gather_window(len(kept), [start + i * (width + 1) for i in range(length)]),
    )


# ---- moves of several tensors


def _join(spec: OpSpec, moves: tuple[Move, ...], axis: int) -> Reach:
    """Concatenate the inputs along an axis. Like torch, ignore empty vectors among tensors with more axes."""
    rank = len(spec.outputs[0].shape)
    paths, sizes = [], []
    for i, tensor in enumerate(spec.inputs):
        if tensor.shape == (0,) and rank > 1 and not moves:
            continue
        steps, shape = follow(tensor.shape, moves)
        paths.append(Route(i, steps))
        sizes.append(shape[axis])
    return (Output(tuple(paths), joined=axis, sizes=tuple(sizes)),)


def _divide(spec: OpSpec, name: str, shape: Shape, axis: int) -> list[tuple[Step, ...]]:
    """Return the steps of each output: consecutive ranges along the axis (`split`), or single positions (`unbind`)."""
    if name == "unbind":
        return [select(shape, axis, i) for i in range(len(spec.outputs))]
    sizes = [t.shape[axis] for t in spec.outputs]
    starts = accumulate(sizes, initial=0)  # and the end
    return [slice(shape, axis, start, size, 1) for start, size in zip(starts, sizes, strict=False)]


def _broadcast(spec: OpSpec) -> Reach:
    """Expand each input to the shape of the output with the same index."""
    indices = range(len(spec.inputs))
    return tuple(
        Output((Route(i, expand(x.shape, y.shape)),), ignored=tuple(k for k in indices if k != i))
        for i, (x, y) in enumerate(zip(spec.inputs, spec.outputs, strict=True))
    )
