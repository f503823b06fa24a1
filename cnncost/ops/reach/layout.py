"""Ops that move elements: views, copies, joining and cutting, padding, shuffling. Found by `fn`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from math import prod
from typing import TypeAlias

from cnncost.graph import OpSpec, Shape
from cnncost.ops.reach.mixing import broadcast
from cnncost.ops.reach.registry import (
    Output,
    Pattern,
    Permute,
    Reach,
    Reshape,
    Route,
    Step,
    Window,
    reach,
    routes,
)
from cnncost.ops.reach.space import blocks, folded, unfolded
from cnncost.ops.reach.windows import moved, taken

Move: TypeAlias = "Callable[[OpSpec], Reach | None]"
_MOVES: dict[str, Move] = {}


def moves(names: str) -> Callable[[Move], Move]:
    """Register the rule of these layout functions, and of their copying forms."""

    def register(function: Move) -> Move:
        for name in names.split():
            _MOVES[name] = _MOVES[f"{name}_copy"] = function
        return function

    return register


@reach("layout")
def layout(spec: OpSpec) -> Reach | None:
    """By its function. Attribute: fn, and the arguments of the function."""
    function = _MOVES.get(spec["fn"])
    return function(spec) if function is not None else None


def _plain(shape: Shape, *steps: Step) -> Reach:
    """The steps, and then the output's shape."""
    return routes(Route(0, (*steps, Reshape(shape))))


def _axes(value: int | tuple[int, ...], rank: int) -> tuple[int, ...]:
    named = (value,) if isinstance(value, int) else value
    return tuple(d % rank for d in named)


# ---- same elements, same order


@moves(
    "alias detach view _unsafe_view reshape _reshape_alias flatten unflatten ravel view_as reshape_as squeeze unsqueeze "
    "_conj resolve_conj resolve_neg _neg_view lift_fresh lift contiguous clone _to_copy to type_as cpu cuda tril triu "
    "requires_grad atleast_1d atleast_2d atleast_3d"
)
def same(spec: OpSpec) -> Reach | None:
    """The elements in their order. A triangle sets elements to zero where they are."""
    x, y = spec.inputs[0].shape, spec.outputs[0].shape
    if prod(x) != prod(y):
        return None
    return (Output((Route(0, (Reshape(y),)),), ignored=tuple(range(1, len(spec.inputs)))),)


@moves("copy")
def copied(spec: OpSpec) -> Reach | None:
    """self, src: what was in self is overwritten."""
    if len(spec.inputs) < 2:
        return same(spec)
    steps = broadcast(spec.inputs[1].shape, spec.outputs[0].shape)
    return None if steps is None else (Output((Route(1, steps),), ignored=(0,)),)


@moves("expand expand_as broadcast_to")
def expand(spec: OpSpec) -> Reach | None:
    """Axes of one position get many."""
    steps = broadcast(spec.inputs[0].shape, spec.outputs[0].shape)
    if steps is None:
        return None
    return (Output((Route(0, steps),), ignored=tuple(range(1, len(spec.inputs)))),)


# ---- axes in another order


@moves("permute")
def permute(spec: OpSpec) -> Reach:
    """Attribute: dims."""
    return routes(Route(0, (Permute(_axes(spec["dims"], len(spec.inputs[0].shape))),)))


@moves("transpose swapaxes swapdims t numpy_T mT mH H adjoint matrix_H")
def transpose(spec: OpSpec) -> Reach:
    """Attributes: dim0, dim1; the matrix forms swap the last two axes, `numpy_T` turns all around."""
    rank = len(spec.inputs[0].shape)
    order = list(range(rank))
    if spec["fn"].startswith("numpy_T"):
        order.reverse()
    elif rank > 1:
        first = spec.get("dim0", spec.get("axis0", -2)) % rank
        second = spec.get("dim1", spec.get("axis1", -1)) % rank
        order[first], order[second] = second, first
    return routes(Route(0, (Permute(tuple(order)),)))


@moves("movedim moveaxis")
def movedim(spec: OpSpec) -> Reach:
    """Attributes: source, destination."""
    rank = len(spec.inputs[0].shape)
    source, destination = _axes(spec["source"], rank), _axes(spec["destination"], rank)
    rest = iter(axis for axis in range(rank) if axis not in source)
    placed = dict(zip(destination, source, strict=True))
    return routes(Route(0, (Permute(tuple(placed[i] if i in placed else next(rest) for i in range(rank))),)))


# ---- parts


@moves("slice narrow")
def cut(spec: OpSpec) -> Reach:
    """Attributes: dim, start, end, step; or dim, start, length."""
    shape, y = spec.inputs[0].shape, spec.outputs[0].shape
    (axis,) = _axes(spec.get("dim", 0), len(shape))
    size, step = shape[axis], spec.get("step", 1)
    start = min(max(_from_end(spec.get("start", 0), size), 0), size)
    return routes(Route(0, (moved(axis, range(start, start + y[axis] * step, step), start, step),)))


def _from_end(index: int, size: int) -> int:
    return index + size if index < 0 else index


@moves("select")
def select(spec: OpSpec) -> Reach:
    """Attributes: dim, index. One position, wherever the axis is prolonged."""
    shape = spec.inputs[0].shape
    (axis,) = _axes(spec["dim"], len(shape))
    index = _from_end(spec["index"], shape[axis])
    return _plain(spec.outputs[0].shape, moved(axis, [index], index, 0))


@moves("split split_with_sizes unsafe_split unsafe_split_with_sizes chunk unsafe_chunk tensor_split")
def split(spec: OpSpec) -> Reach:
    """Attribute: dim. The sizes are those of the outputs."""
    (axis,) = _axes(spec.get("dim", 0), len(spec.inputs[0].shape))
    sizes = [t.shape[axis] for t in spec.outputs]
    starts = accumulate(sizes, initial=0)
    return tuple(
        Output((Route(0, (moved(axis, range(start, start + size), start),)),))
        for start, size in zip(starts, sizes, strict=False)
    )


@moves("unbind")
def unbind(spec: OpSpec) -> Reach:
    """Attribute: dim."""
    (axis,) = _axes(spec.get("dim", 0), len(spec.inputs[0].shape))
    return tuple(Output((Route(0, (moved(axis, [i], i, 0), Reshape(t.shape))),)) for i, t in enumerate(spec.outputs))


@moves("unfold")
def unfold(spec: OpSpec) -> Reach:
    """Attributes: dimension, size, step. Windows along an axis; their places become a new last axis."""
    shape = spec.inputs[0].shape
    (axis,) = _axes(spec["dimension"], len(shape))
    count, kernel = spec.outputs[0].shape[axis], spec["size"]
    order = (*range(axis + 1), *range(axis + 2, len(shape) + 1), axis + 1)
    return routes(Route(0, (*unfolded(shape, axis, count, kernel, spec["step"], 0, 1), Permute(order))))


# ---- joined


@moves("cat concat concatenate")
def cat(spec: OpSpec) -> Reach | None:
    """Attribute: dim. Each input has a place of its own along the axis."""
    y = spec.outputs[0].shape
    (axis,) = _axes(spec.get("dim", 0), len(y))
    found, start = [], 0
    for i, t in enumerate(spec.inputs):
        if t.shape == (0,) and len(y) > 1:  # torch lets an empty vector pass
            continue
        if len(t.shape) != len(y):
            return None
        found.append(Route(i, _placed(t.shape, axis, start, y[axis])))
        start += t.shape[axis]
    return (Output(tuple(found), joined=axis),) if start == y[axis] else None


@moves("stack")
def stack(spec: OpSpec) -> Reach:
    """Attribute: dim. Each input has a place of its own on a new axis."""
    y = spec.outputs[0].shape
    (axis,) = _axes(spec.get("dim", 0), len(y))
    one = (*y[:axis], 1, *y[axis + 1 :])
    found = [Route(i, (Reshape(one), *_placed(one, axis, i, y[axis]))) for i in range(len(spec.inputs))]
    return (Output(tuple(found), joined=axis),)


def _placed(shape: Shape, axis: int, start: int, size: int) -> tuple[Step, ...]:
    length = shape[axis]
    if length == size:
        return ()
    positions: list[int | None] = [None] * start + list(range(length)) + [None] * (size - start - length)
    return (moved(axis, positions, -start),)


# ---- padded, repeated, turned


@moves("constant_pad_nd pad")
def constant_pad(spec: OpSpec) -> Reach | None:
    """Attribute: pad, from the last axis on; what is put in depends on nothing."""
    if spec.get("mode", "constant") != "constant":
        return _padded(spec, spec["pad"], {"reflect": _reflect, "replicate": _replicate}.get(spec["mode"], _circular))
    return _padded(spec, spec["pad"], lambda _i, _n: None)


@moves("reflection_pad1d reflection_pad2d reflection_pad3d")
def reflection_pad(spec: OpSpec) -> Reach | None:
    """Attribute: padding."""
    return _padded(spec, spec["padding"], _reflect)


@moves("replication_pad1d replication_pad2d replication_pad3d")
def replication_pad(spec: OpSpec) -> Reach | None:
    """Attribute: padding."""
    return _padded(spec, spec["padding"], _replicate)


@moves("_pad_circular")
def circular_pad(spec: OpSpec) -> Reach | None:
    """Attribute: pad."""
    return _padded(spec, spec["pad"], _circular)


def _reflect(i: int, n: int) -> int | None:
    return -i if i < 0 else 2 * (n - 1) - i


def _replicate(i: int, n: int) -> int | None:
    return 0 if i < 0 else n - 1


def _circular(i: int, n: int) -> int | None:
    return i % n


def _padded(spec: OpSpec, pad: tuple[int, ...], outside: Callable[[int, int], int | None]) -> Reach | None:
    """Pairs of (before, after), from the last axis on; a negative one cuts off."""
    shape, y = spec.inputs[0].shape, spec.outputs[0].shape
    steps = []
    for i in range(len(pad) // 2):
        axis, before = len(shape) - 1 - i, pad[2 * i]
        size = shape[axis]
        positions = [j - before for j in range(y[axis])]
        steps.append(moved(axis, [j if 0 <= j < size else outside(j, size) for j in positions], -before))
    return routes(Route(0, tuple(steps)))


@moves("flip fliplr flipud")
def flip(spec: OpSpec) -> Reach:
    """Attribute: dims."""
    shape = spec.inputs[0].shape
    named = {"fliplr": (1,), "flipud": (0,)}.get(spec["fn"]) or spec["dims"]
    return routes(Route(0, tuple(_reversed(axis, shape[axis]) for axis in _axes(named, len(shape)))))


def _reversed(axis: int, size: int) -> Window:
    return moved(axis, range(size - 1, -1, -1), size - 1, -1)


@moves("roll")
def roll(spec: OpSpec) -> Reach:
    """Attributes: shifts, dims; without dims the flattened tensor is rolled. Far from borders it is a shift."""
    shape, shifts = spec.inputs[0].shape, spec["shifts"]
    by = (shifts,) if isinstance(shifts, int) else shifts
    if not spec.get("dims"):
        return _plain(shape, Reshape((prod(shape),)), _rolled(0, prod(shape), by[0]))
    axes = _axes(spec["dims"], len(shape))
    return routes(Route(0, tuple(_rolled(axis, shape[axis], n) for axis, n in zip(axes, by, strict=True))))


def _rolled(axis: int, size: int, by: int) -> Window:
    short = by % size if by % size <= size // 2 else by % size - size
    return moved(axis, [(j - by) % size for j in range(size)], -short)


@moves("rot90")
def rot90(spec: OpSpec) -> Reach:
    """Attributes: k, dims."""
    shape = spec.inputs[0].shape
    a, b = _axes(spec.get("dims", (0, 1)), len(shape))
    order = list(range(len(shape)))
    order[a], order[b] = b, a
    turns = spec.get("k", 1) % 4
    steps: tuple[Step, ...] = (
        (),
        (_reversed(b, shape[b]), Permute(tuple(order))),
        (_reversed(a, shape[a]), _reversed(b, shape[b])),
        (Permute(tuple(order)), _reversed(b, shape[a])),
    )[turns]
    return routes(Route(0, steps))


@moves("repeat tile")
def repeat(spec: OpSpec) -> Reach:
    """The whole tensor again and again along each axis; the sizes are those of the output."""
    x, y = spec.inputs[0].shape, spec.outputs[0].shape
    padded = (1,) * (len(y) - len(x)) + x
    again = (
        taken(axis, [j % n for j in range(m)]) for axis, (n, m) in enumerate(zip(padded, y, strict=True)) if n != m
    )
    return routes(Route(0, (Reshape(padded), *again)))


@moves("repeat_interleave")
def repeat_interleave(spec: OpSpec) -> Reach | None:
    """Attributes: repeats, dim; each element several times."""
    x, n = spec.inputs[0].shape, spec.get("repeats")
    if not isinstance(n, int) or len(spec.inputs) > 1:
        return None
    shape, dim = ((prod(x),), 0) if spec.get("dim") is None else (x, spec["dim"] % len(x))
    sees = tuple((j // n,) for j in range(shape[dim] * n))
    window = Window(dim, sees, Pattern(n, 1, ((0,),) * n))
    return _plain(spec.outputs[0].shape, Reshape(shape), window)


# ---- between channels and space


@moves("pixel_shuffle")
def pixel_shuffle(spec: OpSpec) -> Reach:
    """*,C·r²,H,W to *,C,H·r,W·r. Shi et al. 2016. Attribute: upscale_factor."""
    *batch, c, h, w = spec.inputs[0].shape
    r, n = spec["upscale_factor"], len(batch)
    order = (*range(n + 1), n + 3, n + 1, n + 4, n + 2)
    return _plain(spec.outputs[0].shape, Reshape((*batch, c // r**2, r, r, h, w)), Permute(order))


@moves("pixel_unshuffle")
def pixel_unshuffle(spec: OpSpec) -> Reach:
    """*,C,H·r,W·r to *,C·r²,H,W. Attribute: downscale_factor."""
    *batch, c, h, w = spec.inputs[0].shape
    r, n = spec["downscale_factor"], len(batch)
    order = (*range(n + 1), n + 2, n + 4, n + 1, n + 3)
    return _plain(spec.outputs[0].shape, Reshape((*batch, c, h // r, r, w // r, r)), Permute(order))


@moves("channel_shuffle native_channel_shuffle")
def channel_shuffle(spec: OpSpec) -> Reach:
    """N,g·C,* to N,C·g,*. Zhang et al. 2018. Attribute: groups."""
    n, c, *space = spec.inputs[0].shape
    g = spec["groups"]
    order = (0, 2, 1, *range(3, len(space) + 3))
    return _plain(spec.outputs[0].shape, Reshape((n, g, c // g, *space)), Permute(order))


def _pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else value
    return values * 2 if len(values) == 1 else values


def _geometry(spec: OpSpec, size: tuple[int, ...]) -> list[tuple[int, int, int, int, int]]:
    """Count, kernel, stride, padding, dilation of each of two axes."""
    kernel, stride = _pair(spec["kernel_size"]), _pair(spec["stride"])
    padding, dilation = _pair(spec["padding"]), _pair(spec["dilation"])
    each = zip(size, kernel, stride, padding, dilation, strict=True)
    return [(blocks(n, k, s, p, d), k, s, p, d) for n, k, s, p, d in each]


@moves("im2col")
def im2col(spec: OpSpec) -> Reach:
    """(N,)C,H,W to (N,)C·k·k,L. Attributes: kernel_size, stride, padding, dilation."""
    *batch, c, h, w = spec.inputs[0].shape
    (down, *vertical), (right, *horizontal) = _geometry(spec, (h, w))
    n, kh = len(batch), vertical[0]
    steps = (
        *unfolded((*batch, c, h, w), n + 1, down, *vertical),
        *unfolded((*batch, c, down, kh, w), n + 3, right, *horizontal),
        Permute((*range(n + 1), n + 2, n + 4, n + 1, n + 3)),
    )
    return _plain(spec.outputs[0].shape, *steps)


def col2im(spec: OpSpec) -> Reach | None:
    """(N,)C·k·k,L to (N,)C,H,W. Attributes: output_size, kernel_size, stride, padding, dilation."""
    if spec.get("kernel_size") is None:
        return None
    *batch, c, h, w = spec.outputs[0].shape
    (down, kh, *vertical), (right, kw, *horizontal) = _geometry(spec, (h, w))
    n = len(batch)
    steps = (
        Reshape((*batch, c, kh, kw, down, right)),
        Permute((*range(n + 1), n + 3, n + 1, n + 4, n + 2)),
        Reshape((*batch, c, down * kh, right * kw)),
        folded(n + 1, h, down, kh, *vertical),
        folded(n + 2, w, right, kw, *horizontal),
    )
    return routes(Route(0, steps))


@reach("scatter")
def scatter(spec: OpSpec) -> Reach | None:
    """Folding sums windows; elsewhere the data decide. Attribute: fn."""
    return col2im(spec) if spec["fn"] == "col2im" else None
