"""Reach of ops over spatial windows: convolution, pooling, interpolation."""

from __future__ import annotations

from math import prod

from cnncost.graph import OpSpec, Shape
from cnncost.ops.reach import windows
from cnncost.ops.reach.registry import All, Pattern, Permute, Reach, Reshape, Route, Spread, Step, Window, alike, routes


def mix_groups(shape: Shape, axis: int, groups: int, out: int) -> tuple[Step, ...]:
    """Steps by which each of `out` channels sees all channels of its group."""
    if groups == 1:
        return All(axis), Spread(axis, out)
    before, after = shape[:axis], shape[axis + 1 :]
    return (
        Reshape((*before, groups, shape[axis] // groups, *after)),
        All(axis + 1),
        Spread(axis + 1, out // groups),
        Reshape((*before, out, *after)),
    )


def mix_axes(shape: Shape, *axes: int, slides: bool = False) -> tuple[Step, ...]:
    """Steps by which every position along these axes sees all of them."""
    return tuple(step for axis in axes for step in (All(axis, slides), Spread(axis, shape[axis])))


def broadcast(shape: Shape, out: Shape) -> tuple[Step, ...] | None:
    """Steps to a broadcast shape; None if the shape doesn't broadcast to it."""
    padded = (1,) * (len(out) - len(shape)) + shape
    if len(padded) != len(out) or any(n not in (1, m) for n, m in zip(padded, out, strict=True)):
        return None
    spreads = (Spread(axis, m) for axis, (n, m) in enumerate(zip(padded, out, strict=True)) if n != m)
    return ((Reshape(padded),) if padded != shape else ()) + tuple(spreads)


def conv(spec: OpSpec) -> Reach | None:
    """A window along each spatial axis; each output channel sees all channels of its group."""
    x, w, y = spec.inputs[0].shape, spec.inputs[1].shape, spec.outputs[0].shape
    axes = len(w) - 2
    first = len(x) - axes
    steps: list[Step] = []
    for i in range(axes):
        axis, kernel, stride, dilation = first + i, w[2 + i], spec["stride"][i], spec["dilation"][i]
        if spec["transposed"]:
            padding = spec["padding"][i]
            steps.append(windows.transposed(axis, x[axis], y[axis], kernel, stride, padding, dilation))
        else:
            padding = _padding(spec["padding"], i, dilation * (kernel - 1))
            steps.append(
                windows.sliding(
                    axis, x[axis], y[axis], kernel=kernel, stride=stride, padding=padding, dilation=dilation
                )
            )
    shape = (*x[: first - 1], x[first - 1], *y[first:])
    return routes(Route(0, (*steps, *mix_groups(shape, first - 1, spec["groups"], y[first - 1]))))


def _padding(padding: str | tuple[int, ...], axis: int, total: int) -> int:
    """Padding before the first position. For `same`, it is half of the total, rounded down, as in torch."""
    if isinstance(padding, str):
        return total // 2 if padding == "same" else 0
    return padding[axis]


def pool(spec: OpSpec) -> Reach | None:
    """A window along each spatial axis; None (unknown) for fractional pooling, whose windows are random."""
    if spec["stride"] is None:
        return None
    x, y = spec.inputs[0].shape, spec.outputs[0].shape
    geometry = zip(spec["kernel"], spec["stride"], spec["padding"], spec["dilation"], strict=True)
    first = len(x) - len(spec["kernel"])
    steps = [
        windows.sliding(axis, x[axis], y[axis], kernel=k, stride=s, padding=p, dilation=d)
        for axis, (k, s, p, d) in enumerate(geometry, first)
    ]
    return alike(spec, [Route(0, tuple(steps))])


def adaptive_pool(spec: OpSpec) -> Reach:
    """Windows that follow from the input and output sizes; a single window sees all."""
    x, y = spec.inputs[0].shape, spec.outputs[0].shape
    axes = range(len(x) - spec["axes"], len(x))
    return alike(spec, [Route(0, tuple(windows.adaptive(axis, x[axis], y[axis]) for axis in axes))])


def resize(spec: OpSpec) -> Reach:
    """The taps of the interpolation, including those of weight 0. Attributes: mode, antialias, axes, align, scales."""
    x, y = spec.inputs[0].shape, spec.outputs[0].shape
    first = len(x) - spec["axes"]
    scales = spec.get("scales") or (None,) * spec["axes"]
    steps = [
        windows.resized(
            axis, x[axis], y[axis], spec["mode"], spec["align"], scale, antialias=spec["antialias"],
            double=spec.inputs[0].dtype == "float64",
        )
        for axis, scale in enumerate(scales, first)
    ]  # fmt: skip
    return routes(Route(0, tuple(steps)))


def unfold_steps(
    shape: Shape, axis: int, count: int, kernel: int, stride: int, padding: int, dilation: int
) -> tuple[Step, ...]:
    """Split an axis into two: the windows, and the positions within each."""
    sees, taps = [], tuple((a * dilation - padding,) for a in range(kernel))
    for i in range(count):
        for a in range(kernel):
            position = i * stride - padding + a * dilation
            sees.append((position,) if 0 <= position < shape[axis] else ())
    window = Window(axis, tuple(sees), Pattern(kernel, stride, taps), slides=True)
    return window, Reshape((*shape[:axis], count, kernel, *shape[axis + 1 :]))


def fold_window(axis: int, size: int, count: int, kernel: int, stride: int, padding: int, dilation: int) -> Window:
    """The inverse of `unfold_steps`, on an axis of count·kernel positions: overlapping windows are summed."""

    def taps(j: int) -> tuple[int, ...]:
        candidates = ((a, *divmod(j + padding - a * dilation, stride)) for a in range(kernel))
        return tuple(i * kernel + a for a, i, remainder in candidates if not remainder)

    sees = tuple(tuple(t for t in taps(j) if 0 <= t < count * kernel) for j in range(size))
    pattern = Pattern(stride, kernel, tuple(taps(q) for q in range(stride)))
    return Window(axis, sees, pattern, slides=True)


def count_windows(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Number of windows along an axis."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def trace(spec: OpSpec) -> Reach:
    """The sum sees the whole matrix, which is the hull of its diagonal: it touches each row and column."""
    return routes(Route(0, (Reshape((prod(spec.inputs[0].shape),)), All(0), Reshape(()))))


def scatter(spec: OpSpec) -> Reach | None:
    """Folding: (N,)C·k·k,L to (N,)C,H,W, which sums overlapping windows; None for other scatters: they depend on data.

    Attributes: kernel_size, stride, padding, dilation of both axes, only for folding.
    """
    if spec.get("kernel_size") is None:
        return None
    *batch, c, h, w = spec.outputs[0].shape
    by_axis = zip(*(spec[name] for name in ("kernel_size", "stride", "padding", "dilation")), strict=True)
    (kh, *vertical), (kw, *horizontal) = by_axis
    down, right, n = count_windows(h, kh, *vertical), count_windows(w, kw, *horizontal), len(batch)
    steps = (
        Reshape((*batch, c, kh, kw, down, right)),
        Permute((*range(n + 1), n + 3, n + 1, n + 4, n + 2)),
        Reshape((*batch, c, down * kh, right * kw)),
        fold_window(n + 1, h, down, kh, *vertical),
        fold_window(n + 2, w, right, kw, *horizontal),
    )
    return routes(Route(0, steps))
