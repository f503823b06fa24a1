"""Layout ops that pad, repeat, rotate and shuffle."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from cnncost.graph import OpSpec
from cnncost.ops.reach.layout import axes_of, in_shape, moves
from cnncost.ops.reach.registry import Pattern, Permute, Reach, Reshape, Route, Step, Window, routes
from cnncost.ops.reach.space import blocks, folded, unfolded
from cnncost.ops.reach.windows import moved, taken

# ---- padding, repetition, rotation


@moves("constant_pad_nd pad")
def constant_pad(spec: OpSpec) -> Reach | None:
    """Attribute: pad, from the last axis on; the padding depends on nothing."""
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
    """Pad by pairs of (before, after), from the last axis on; a negative number crops."""
    shape, y = spec.inputs[0].shape, spec.outputs[0].shape
    steps = []
    for i in range(len(pad) // 2):
        axis, before = len(shape) - 1 - i, pad[2 * i]
        size = shape[axis]
        positions = [j - before for j in range(y[axis])]
        if outside is _circular:  # wraps around what is left after cropping
            first, left = max(0, -before), size + min(0, before) + min(0, pad[2 * i + 1])
            positions = [first + (j - first) % left for j in positions]
        steps.append(moved(axis, [j if 0 <= j < size else outside(j, size) for j in positions], -before))
    return routes(Route(0, tuple(steps)))


@moves("flip fliplr flipud")
def flip(spec: OpSpec) -> Reach:
    """Attribute: dims."""
    shape = spec.inputs[0].shape
    named = {"fliplr": (1,), "flipud": (0,)}.get(spec["fn"]) or spec["dims"]
    return routes(Route(0, tuple(_reversed(axis, shape[axis]) for axis in axes_of(named, len(shape)))))


def _reversed(axis: int, size: int) -> Window:
    return moved(axis, range(size - 1, -1, -1), size - 1, -1)


@moves("roll")
def roll(spec: OpSpec) -> Reach:
    """Attributes: shifts, dims; without dims the flattened tensor is rolled. Far from borders it is a shift."""
    shape, shifts = spec.inputs[0].shape, spec["shifts"]
    by = (shifts,) if isinstance(shifts, int) else shifts
    if not spec.get("dims"):
        return in_shape(shape, Reshape((prod(shape),)), _rolled(0, prod(shape), by[0]))
    axes = axes_of(spec["dims"], len(shape))
    return routes(Route(0, tuple(_rolled(axis, shape[axis], n) for axis, n in zip(axes, by, strict=True))))


def _rolled(axis: int, size: int, by: int) -> Window:
    short = by % size if by % size <= size // 2 else by % size - size
    return moved(axis, [(j - by) % size for j in range(size)], -short)


@moves("rot90")
def rot90(spec: OpSpec) -> Reach:
    """Attributes: k, dims."""
    shape = spec.inputs[0].shape
    a, b = axes_of(spec["dims"], len(shape))
    order = list(range(len(shape)))
    order[a], order[b] = b, a
    turns = spec["k"] % 4
    steps: tuple[Step, ...] = (
        (),
        (_reversed(b, shape[b]), Permute(tuple(order))),
        (_reversed(a, shape[a]), _reversed(b, shape[b])),
        (Permute(tuple(order)), _reversed(b, shape[a])),
    )[turns]
    return routes(Route(0, steps))


@moves("repeat tile")
def repeat(spec: OpSpec) -> Reach:
    """Tile the tensor along each axis; the sizes are those of the output."""
    x, y = spec.inputs[0].shape, spec.outputs[0].shape
    padded = (1,) * (len(y) - len(x)) + x
    again = (
        taken(axis, [j % n for j in range(m)]) for axis, (n, m) in enumerate(zip(padded, y, strict=True)) if n != m
    )
    return routes(Route(0, (Reshape(padded), *again)))


@moves("repeat_interleave")
def repeat_interleave(spec: OpSpec) -> Reach | None:
    """Attributes: repeats, dim; each element is repeated."""
    x, n = spec.inputs[0].shape, spec.get("repeats")
    if not isinstance(n, int) or len(spec.inputs) > 1:
        return None
    shape, dim = ((prod(x),), 0) if spec.get("dim") is None else (x, spec["dim"] % len(x))
    sees = tuple((j // n,) for j in range(shape[dim] * n))
    window = Window(dim, sees, Pattern(n, 1, ((0,),) * n))
    return in_shape(spec.outputs[0].shape, Reshape(shape), window)


# ---- between channels and space


@moves("pixel_shuffle")
def pixel_shuffle(spec: OpSpec) -> Reach:
    """*,C·r²,H,W to *,C,H·r,W·r. Shi et al. 2016. Attribute: upscale_factor."""
    *batch, c, h, w = spec.inputs[0].shape
    r, n = spec["upscale_factor"], len(batch)
    order = (*range(n + 1), n + 3, n + 1, n + 4, n + 2)
    return in_shape(spec.outputs[0].shape, Reshape((*batch, c // r**2, r, r, h, w)), Permute(order))


@moves("pixel_unshuffle")
def pixel_unshuffle(spec: OpSpec) -> Reach:
    """*,C,H·r,W·r to *,C·r²,H,W. Attribute: downscale_factor."""
    *batch, c, h, w = spec.inputs[0].shape
    r, n = spec["downscale_factor"], len(batch)
    order = (*range(n + 1), n + 2, n + 4, n + 1, n + 3)
    return in_shape(spec.outputs[0].shape, Reshape((*batch, c, h // r, r, w // r, r)), Permute(order))


@moves("channel_shuffle native_channel_shuffle")
def channel_shuffle(spec: OpSpec) -> Reach:
    """N,g·C,* to N,C·g,*. Zhang et al. 2018. Attribute: groups."""
    n, c, *space = spec.inputs[0].shape
    g = spec["groups"]
    order = (0, 2, 1, *range(3, len(space) + 3))
    return in_shape(spec.outputs[0].shape, Reshape((n, g, c // g, *space)), Permute(order))


def _pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else value
    return values * 2 if len(values) == 1 else values


def _geometry(spec: OpSpec, size: tuple[int, ...]) -> list[tuple[int, int, int, int, int]]:
    """Count, kernel, stride, padding and dilation of both axes."""
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
    return in_shape(spec.outputs[0].shape, *steps)


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


def scatter(spec: OpSpec) -> Reach | None:
    """Folding sums windows; other scatters depend on tensor data. Attribute: fn."""
    return col2im(spec) if spec["fn"] == "col2im" else None
