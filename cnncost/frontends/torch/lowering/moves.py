"""The moves of torch's views and copies, in the form of `cnncost.ops.reach.moves`; `views.py` lowers these ops.

A rule gets the call and the shapes x and y of its first input and output; its docstring names the arguments it uses.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from cnncost.frontends.torch.lowering.registry import (
    Attrs,
    Lowered,
    Moves,
    OpCall,
    lowers,
    moves,
    spread,
)
from cnncost.graph import Shape


def axes_of(value: Any, rank: int) -> Shape:
    """Return one axis or several as nonnegative indices."""
    return tuple([d % rank for d in ((value,) if isinstance(value, int) else value)])


def _from_end(index: int, size: int) -> int:
    return index + size if index < 0 else index


# ---- same elements, same order


@moves(
    "alias detach view _unsafe_view reshape _reshape_alias flatten unflatten ravel view_as reshape_as squeeze "
    "unsqueeze _conj resolve_conj resolve_neg _neg_view lift_fresh lift contiguous clone _to_copy to type_as cpu cuda "
    "tril triu requires_grad atleast_1d atleast_2d atleast_3d to_dense _to_dense to_sparse _coalesced"
)
def same(call: OpCall, x: Shape, y: Shape) -> Moves | None:  # noqa: ARG001  # a rule's signature, as below
    """The same elements in the same order; those that `tril` and `triu` set to zero keep their positions, too."""
    return (("reshape", y),) if prod(x) == prod(y) else None


@moves("copy")
def copied(call: OpCall, x: Shape, y: Shape) -> Moves | None:
    """self, src: the elements of self are overwritten."""
    if len(call.inputs) < 2:
        return same(call, x, y)
    return (("input", 1), ("expand", y)) if _expands(call.inputs[1].shape, y) else None


def _expands(x: Shape, y: Shape) -> bool:
    return len(x) <= len(y) and all(n in (1, m) for n, m in zip(x[::-1], y[::-1], strict=False))


@moves("expand expand_as broadcast_to")
def expand(call: OpCall, x: Shape, y: Shape) -> Moves | None:  # noqa: ARG001
    """self, and for `expand_as` a tensor of which only the shape is used."""
    return (("expand", y),) if _expands(x, y) else None


@moves("broadcast_tensors")
def broadcast_tensors(call: OpCall, x: Shape, y: Shape) -> Moves:  # noqa: ARG001
    """All inputs are expanded to their common shape."""
    return (("broadcast",),)


# ---- permuted axes


@moves("permute")
def permute(call: OpCall, x: Shape, y: Shape) -> Moves:  # noqa: ARG001
    """dims."""
    return (("permute", axes_of(call["dims"], len(x))),)


@moves("numpy_T")
def reverse(call: OpCall, x: Shape, y: Shape) -> Moves:  # noqa: ARG001
    """All axes in reverse."""
    return (("permute", tuple(range(len(x)))[::-1]),)


@moves("transpose swapaxes swapdims t mT mH H adjoint matrix_H")
def transpose(call: OpCall, x: Shape, y: Shape) -> Moves:  # noqa: ARG001
    """dim0, dim1, or axis0, axis1; ops without these, such as `mT`, swap the last two axes."""
    order = list(range(len(x)))
    if order:
        first, second = axes_of(
            [call.get("dim0", call.get("axis0", -2)), call.get("dim1", call.get("axis1", -1))], len(x)
        )
        order[first], order[second] = second, first
    return (("permute", tuple(order)),)


@moves("movedim moveaxis")
def movedim(call: OpCall, x: Shape, y: Shape) -> Moves:  # noqa: ARG001
    """source, destination."""
    rank = len(x)
    source, destination = axes_of(call["source"], rank), axes_of(call["destination"], rank)
    others = iter(axis for axis in range(rank) if axis not in source)
    placed = dict(zip(destination, source, strict=True))
    return (("permute", tuple(placed[i] if i in placed else next(others) for i in range(rank))),)


# ---- parts


@moves("slice narrow")
def cut(call: OpCall, x: Shape, y: Shape) -> Moves | None:
    """dim, start, end, step; or dim, start, length. None if `start` is a tensor, whose value is unknown."""
    (axis,) = axes_of(call["dim"], len(x))
    start, size = call.get("start"), x[axis]
    if isinstance(start, torch.Tensor):
        return None
    start = start or 0
    return (("slice", axis, min(max(_from_end(start, size), 0), size), y[axis], call.get("step") or 1),)


@moves("select")
def select(call: OpCall, x: Shape, y: Shape) -> Moves:  # noqa: ARG001
    """dim, index."""
    (axis,) = axes_of(call["dim"], len(x))
    return (("select", axis, _from_end(call["index"], x[axis])),)


@moves("split split_with_sizes unsafe_split unsafe_split_with_sizes chunk unsafe_chunk tensor_split")
def split(call: OpCall, x: Shape, y: Shape) -> Moves:  # noqa: ARG001
    """dim; the outputs have the sizes."""
    return (("split", *axes_of(call["dim"], len(x))),)


@moves("hsplit vsplit dsplit")
def split_along(call: OpCall, x: Shape, y: Shape) -> Moves:  # noqa: ARG001
    """As in NumPy: hsplit along columns (the only axis of a vector), vsplit along rows, dsplit along the third axis."""
    axis = {"hsplit": min(1, len(x) - 1), "vsplit": 0}.get(call.name.removesuffix("_copy"), 2)
    return (("split", axis),)


@moves("unbind")
def unbind(call: OpCall, x: Shape, y: Shape) -> Moves:  # noqa: ARG001
    """dim."""
    return (("unbind", *axes_of(call["dim"], len(x))),)


@moves("unfold")
def unfold(call: OpCall, x: Shape, y: Shape) -> Moves:  # noqa: ARG001
    """dimension, size, step. The positions within a window become a new last axis."""
    size, rank = call["size"], len(x)
    if not x:  # a scalar: a window of its element, or an empty one
        return (("reshape", (1,)), ("slice", 0, 0, size, 1))
    (axis,) = axes_of(call["dimension"], rank)
    order = (*range(axis + 1), *range(axis + 2, rank + 1), axis + 1)
    padding, dilation = 0, 1
    return ("unfold", axis, size, call["step"], padding, dilation), ("permute", order)


@moves("diagonal")
def diagonal(call: OpCall, x: Shape, y: Shape) -> Moves:  # noqa: ARG001
    """offset, dim1, dim2."""
    return (("diagonal", *axes_of([call["dim1"], call["dim2"]], len(x)), call["offset"]),)


# ---- concatenation


@moves("cat concat concatenate")
def cat(call: OpCall, x: Shape, y: Shape) -> Moves | None:  # noqa: ARG001
    """dim."""
    (axis,) = axes_of(call["dim"], len(y))
    # torch skips empty vectors among tensors with more axes
    sizes = [t.shape[axis] for t in call.inputs if t.shape != (0,) or len(y) == 1]
    return (("cat", axis),) if sum(sizes) == y[axis] else None


@moves("stack")
def stack(call: OpCall, x: Shape, y: Shape) -> Moves:  # noqa: ARG001
    """dim."""
    (axis,) = axes_of(call["dim"], len(y))
    return ("reshape", (*y[:axis], 1, *y[axis + 1 :])), ("cat", axis)


@moves("hstack vstack dstack column_stack")
def stack_along(call: OpCall, x: Shape, y: Shape) -> Moves | None:
    """As in NumPy: along columns, rows, or the third axis. None if inputs get new axes, except rows of a `vstack`."""
    ranks = {len(t.shape) for t in call.inputs}
    if ranks == {1} and call.name in {"hstack", "vstack"}:
        return (("cat", 0),) if call.name == "hstack" else (("reshape", (1, *x)), ("cat", 0))
    axis = {"vstack": 0, "dstack": 2}.get(call.name, 1)
    return (("cat", axis),) if ranks == {len(y)} else None


# ---- padding, repetition, rotation


def _padded(pads: Any, rank: int, mode: str) -> Moves:
    """Return the moves of a pad. `pads`: elements before and after, for each axis from the last one backwards."""
    return tuple(("pad", rank - 1 - i, pads[2 * i], pads[2 * i + 1], mode) for i in range(len(pads) // 2))


@moves("constant_pad_nd pad")
def pad(call: OpCall, x: Shape, y: Shape) -> Moves:  # noqa: ARG001
    """pad, mode."""
    return _padded(call["pad"], len(x), call.get("mode", "constant"))


@moves("reflection_pad1d reflection_pad2d reflection_pad3d")
def reflection_pad(call: OpCall, x: Shape, y: Shape) -> Moves:  # noqa: ARG001
    """padding."""
    return _padded(call["padding"], len(x), "reflect")


@moves("replication_pad1d replication_pad2d replication_pad3d")
def replication_pad(call: OpCall, x: Shape, y: Shape) -> Moves:  # noqa: ARG001
    """padding."""
    return _padded(call["padding"], len(x), "replicate")


@moves("_pad_circular")
def circular_pad(call: OpCall, x: Shape, y: Shape) -> Moves:  # noqa: ARG001
    """pad."""
    return _padded(call["pad"], len(x), "circular")


def _flipped(axis: int, size: int) -> tuple[Any, ...]:
    return ("slice", axis, size - 1, size, -1)


@moves("flip fliplr flipud")
def flip(call: OpCall, x: Shape, y: Shape) -> Moves:  # noqa: ARG001
    """dims."""
    dims = {"fliplr": (1,), "flipud": (0,)}.get(call.name) or call["dims"]
    return tuple(_flipped(axis, x[axis]) for axis in axes_of(dims, len(x)))


@moves("roll")
def roll(call: OpCall, x: Shape, y: Shape) -> Moves:  # noqa: ARG001
    """shifts, dims; without dims the flattened tensor is rolled."""
    shifts = (call["shifts"],) if isinstance(call["shifts"], int) else call["shifts"]
    if not call.get("dims"):
        return ("reshape", (prod(x),)), ("roll", 0, shifts[0]), ("reshape", x)
    return tuple(("roll", axis, n) for axis, n in zip(axes_of(call["dims"], len(x)), shifts, strict=True))


@moves("rot90")
def rot90(call: OpCall, x: Shape, y: Shape) -> Moves:  # noqa: ARG001
    """k, dims."""
    a, b = axes_of(call["dims"], len(x))
    order = list(range(len(x)))
    order[a], order[b] = b, a
    swap = ("permute", tuple(order))
    by_quarter_turns = (
        (),
        (_flipped(b, x[b]), swap),
        (_flipped(a, x[a]), _flipped(b, x[b])),
        (swap, _flipped(b, x[a])),
    )
    return by_quarter_turns[call["k"] % 4]


@moves("repeat tile")
def tile(call: OpCall, x: Shape, y: Shape) -> Moves:  # noqa: ARG001
    """The repetitions follow from the shapes."""
    padded = (1,) * (len(y) - len(x)) + x
    repetitions = (("tile", i, m // n) for i, (n, m) in enumerate(zip(padded, y, strict=True)) if n != m)
    return (("reshape", padded), *repetitions)


@moves("repeat_interleave")
def repeat_interleave(call: OpCall, x: Shape, y: Shape) -> Moves | None:
    """repeats, dim. None if `repeats` is a tensor."""
    n = call.get("repeats")
    if not isinstance(n, int) or len(call.inputs) > 1:
        return None
    shape, axis = ((prod(x),), 0) if call.get("dim") is None else (x, call["dim"] % len(x))
    return ("reshape", shape), ("repeat", axis, n), ("reshape", y)


# ---- between channels and space


@moves("pixel_shuffle")
def pixel_shuffle(call: OpCall, x: Shape, y: Shape) -> Moves:
    """*,C·r²,H,W to *,C,H·r,W·r. Shi et al. 2016. upscale_factor."""
    *batch, c, h, w = x
    r, n = call["upscale_factor"], len(batch)
    order = (*range(n + 1), n + 3, n + 1, n + 4, n + 2)
    return ("reshape", (*batch, c // r**2, r, r, h, w)), ("permute", order), ("reshape", y)


@moves("pixel_unshuffle")
def pixel_unshuffle(call: OpCall, x: Shape, y: Shape) -> Moves:
    """*,C,H·r,W·r to *,C·r²,H,W. downscale_factor."""
    *batch, c, h, w = x
    r, n = call["downscale_factor"], len(batch)
    order = (*range(n + 1), n + 2, n + 4, n + 1, n + 3)
    return ("reshape", (*batch, c, h // r, r, w // r, r)), ("permute", order), ("reshape", y)


@moves("channel_shuffle native_channel_shuffle")
def channel_shuffle(call: OpCall, x: Shape, y: Shape) -> Moves:
    """N,g·C,* to N,C·g,*. Zhang et al. 2018. groups."""
    n, c, *space = x
    g = call["groups"]
    order = (0, 2, 1, *range(3, len(space) + 3))
    return ("reshape", (n, g, c // g, *space)), ("permute", order), ("reshape", y)


_GEOMETRY = ("kernel_size", "stride", "padding", "dilation")


@moves("im2col")
def im2col(call: OpCall, x: Shape, y: Shape) -> Moves:
    """(N,)C,H,W to (N,)C·k·k,L. kernel_size, stride, padding, dilation."""
    (kh, *vertical), (kw, *horizontal) = zip(*(_pair(call[name]) for name in _GEOMETRY), strict=True)
    n = len(x) - 3
    return (
        ("unfold", n + 1, kh, *vertical),
        ("unfold", n + 3, kw, *horizontal),
        ("permute", (*range(n + 1), n + 2, n + 4, n + 1, n + 3)),
        ("reshape", y),
    )


def _pair(value: Any) -> Any:
    return spread(value, 2)


@lowers("col2im", "fold")
def fold(call: OpCall) -> Lowered:
    """kernel_size, stride, padding, dilation. Overlapping blocks are summed."""
    geometry: Attrs = {name: _pair(call[name]) for name in _GEOMETRY}
    return "scatter", {**geometry, "accumulate": True, "elements": call.inputs[0].numel}
