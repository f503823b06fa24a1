"""Windows along one axis: the positions that each output sees, at the borders and far from them.

For the geometry see Dumoulin & Visin 2016, A guide to convolution arithmetic. Interpolation follows torch's kernels,
including their single-precision arithmetic.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import cache
from math import floor, gcd
from typing import TypeAlias

from cnncost.ops.reach.registry import All, Pattern, Positions, Step, Window
from cnncost.session import SESSION


def sliding(
    axis: int, size: int, out: int, *, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> Window:
    """The window of a convolution or pooling: output j sees j·stride - padding + m·dilation, m < kernel."""
    return _sliding(size, out, kernel, stride, padding, dilation)._replace(axis=axis)  # one cache entry for all axes


@cache
def _sliding(size: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> Window:
    extent = (kernel - 1) * dilation + 1
    sees = tuple(_clipped(j * stride - padding, extent, dilation, size) for j in range(out))
    taps = tuple(range(-padding, extent - padding, dilation))
    return Window(0, sees, Pattern(1, stride, (taps,)), slides=True)


def _clipped(first: int, extent: int, step: int, size: int) -> range:
    """Return the positions first, first + step, … below first + extent that lie within the axis."""
    start = first if first >= 0 else first + -(first // step) * step
    return range(start, max(start, min(first + extent, size)), step)


@cache
def transposed(axis: int, size: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> Window:
    """Window of a transposed convolution: output j sees each i with i·stride - padding + m·dilation = j, m < kernel."""

    def taps(j: int) -> tuple[int, ...]:
        candidates = (divmod(j + padding - m * dilation, stride) for m in range(kernel))
        return tuple(sorted(i for i, remainder in candidates if not remainder))

    sees = tuple(tuple(i for i in taps(j) if 0 <= i < size) for j in range(out))
    return Window(axis, sees, Pattern(stride, 1, tuple(taps(q) for q in range(stride))), slides=True)


@cache
def adaptive(axis: int, size: int, out: int) -> Step:
    """Window i of `out` is [⌊i·size/out⌋, ⌈(i+1)·size/out⌉); a single window sees all."""
    if out == 1:
        return All(axis, slides=True)
    sees = tuple(range(i * size // out, -(-(i + 1) * size // out)) for i in range(out))
    period = out // gcd(size, out)
    taps = tuple(tuple(each) for each in sees[:period])
    return Window(axis, sees, Pattern(period, size * period // out, taps), slides=True)


def gather_window(axis: int, positions: Sequence[int | None], pattern: Pattern | None = None) -> Window:
    """Output j is input `positions[j]`, or a constant if that is None."""
    return Window(axis, tuple(() if i is None else (i,) for i in positions), pattern)


def affine_window(axis: int, positions: Sequence[int | None], offset: int, step: int = 1) -> Window:
    """Like `gather_window`; far from borders, output j is input step·j + offset."""
    return gather_window(axis, positions, Pattern(1, step, ((offset,),)))


def prefix_window(axis: int, size: int, *, slides: bool = True, backwards: bool = False) -> Window:
    """Output j sees all inputs up to j, or from j on: recurrence, cumulative sums, causal attention."""
    sees = tuple(range(j, size) if backwards else range(j + 1) for j in range(size))
    return Window(axis, sees, None, slides, grows=True)


# ---- interpolation


def _single(x: float | Fraction) -> float:
    """Round to float32."""
    return float(struct.unpack("f", struct.pack("f", x))[0])


def _exact(x: float | Fraction) -> float | Fraction:
    return x


Rounding: TypeAlias = "Callable[[float | Fraction], float]"


@cache
def resized(
    axis: int, size: int, out: int, kind: str, align: bool, scale: float | None, *, antialias: bool = False,
    double: bool = False,
) -> Window:  # fmt: skip
    """Window of an interpolation: nearest, nearest_exact, linear or cubic; `scale`: the requested factor, if any.

    Kernels compute positions in single precision, for `double` tensors in double precision.
    """
    if size == out and (kind != "cubic" or antialias):  # then torch copies the input
        return Window(axis, tuple(range(j, j + 1) for j in range(out)), Pattern(1, 1, ((0,),)), slides=True)
    if kind == "nearest" and out == 2 * size:  # torch then uses 2, even if another factor was requested
        scale = None
    ratio, rounded = _ratio(size, out, kind, align, scale), float if double else _single
    if antialias:
        sees = tuple(_antialias_taps(j, ratio, kind, size, rounded) for j in range(out))
        taps = [_antialias_taps(j, ratio, kind, None) for j in range(ratio.denominator)]
    else:
        step = rounded(ratio)
        sees = tuple(_clamped(_taps(j, step, kind, align, rounded), size) for j in range(out))
        taps = [tuple(_taps(q, ratio, kind, align, None)) for q in range(ratio.denominator)]
    return Window(axis, sees, Pattern(ratio.denominator, ratio.numerator, tuple(map(tuple, taps))), slides=True)


def _ratio(size: int, out: int, kind: str, align: bool, scale: float | None) -> Fraction:
    """Return the input positions per output position."""
    if align and "nearest" not in kind:
        return Fraction(size - 1, out - 1) if out > 1 else Fraction(0)
    # the simple fraction that a requested factor such as 0.333… stands for
    return 1 / Fraction(scale).limit_denominator(4096) if scale else Fraction(size, out)


def _taps(j: int, step: float | Fraction, kind: str, align: bool, rounding: Rounding | None) -> Iterable[int]:
    """Return the inputs that output j is computed from, rounded as in the kernel; exact if `rounding` is None."""
    rounded: Callable[[float | Fraction], float | Fraction] = rounding or _exact
    half = 0.5 if rounding else Fraction(1, 2)
    if kind == "nearest":
        return (floor(rounded(j * step)),)
    if kind == "nearest_exact":
        return (floor(rounded(step * (j + half))),)
    place = rounded(step * j) if align else rounded(rounded(step * (j + half)) - half)
    if rounding and kind == "linear":
        place = max(place, 0.0)
    first = floor(place)
    return range(first, first + 2) if kind == "linear" else range(first - 1, first + 3)


def _clamped(positions: Iterable[int], size: int) -> Positions:
    return tuple(sorted({min(max(i, 0), size - 1) for i in positions}))


def _antialias_taps(
    j: int, ratio: float | Fraction, kind: str, size: int | None, rounded: Rounding = float
) -> Positions:
    """Return the taps of an antialiasing filter, which widens as the image shrinks.

    With `size`, they are clipped, and rounded as in torch's kernels; without it, exact and far from borders.
    """
    support = 2 if kind == "cubic" else 1
    if size is None:
        center, radius = ratio * (j + Fraction(1, 2)), support * max(ratio, 1)
        return range(floor(center - radius + Fraction(1, 2)), floor(center + radius + Fraction(1, 2)))
    step = rounded(ratio)
    center, radius = rounded(step * (j + 0.5)), rounded(support * max(step, 1.0))
    first, last = floor(rounded(center - radius) + 0.5), floor(rounded(center + radius) + 0.5)
    return range(max(first, 0), min(last, size))


for _function in (_sliding, transposed, adaptive, resized):
    SESSION.own_results(f"windows, {_function.__name__}", _function)
