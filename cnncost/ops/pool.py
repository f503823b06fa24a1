"""Pooling and resampling. Windows at the border count in full, like a convolution's zero-padded positions."""

from __future__ import annotations

from math import prod
from typing import Literal

from cnncost.graph import OpSpec
from cnncost.ops import window_workspace
from cnncost.ops.kinds import INTS, LAYOUT, Types, kind, maybe, one, rest
from cnncost.ops.registry import Cost, Term, cost, flops


def _window_term(fn: str, channels: int, positions: int, window: int) -> Term:
    if fn == "max":
        return flops("compare", 1, "N·C", channels, "P", positions, "R-1", window - 1)
    return flops("sum and divide", 1, "N·C", channels, "P", positions, "R", window)


POOL: Types = {
    "fn": Literal["max", "avg"], "kernel": INTS, "stride": INTS | None, "padding": INTS | None,
    "dilation": INTS | None, "ceil": bool,
}  # fmt: skip
"""Tuples have one number per spatial axis; None if windows lie at random positions (fractional pooling)."""


@kind(
    "pool",
    inputs=(one("x", 2, 5), rest("random samples")),
    outputs=(one("y", 2, 5), maybe("indices", 2, 5)),
    attributes=POOL,
    optional={"layout": LAYOUT},
    reach="space.pool",
    workspace=window_workspace.pool,
)
def pool(spec: OpSpec) -> Cost:
    """FLOPs = N·C·P·(R − 1) comparisons for a maximum, N·C·P·R for an average (R − 1 sums, one division).

    Shapes: x: N,C,*X; y: N,C,*P; R: number of kernel elements. Attributes: fn (max, avg), kernel.
    """
    y, kernel = spec.outputs[0].shape, spec["kernel"]
    if not spec.inputs[0].floating:
        return cost(spec)
    axes = len(kernel)
    return cost(spec, _window_term(spec["fn"], prod(y[:-axes]), prod(y[-axes:]), prod(kernel)))


@kind(
    "adaptive_pool",
    inputs=(one("x", 2, 5),),
    outputs=(one("y", 2, 5), maybe("indices", 2, 5)),
    attributes={"fn": Literal["max", "avg"], "axes": int},
    optional={"layout": LAYOUT},
    reach="space.adaptive_pool",
    workspace=window_workspace.adaptive_pool,
)
def adaptive_pool(spec: OpSpec) -> Cost:
    """FLOPs = N·C·(ΣR − P) for a maximum, N·C·ΣR for an average, where ΣR sums the windows' actual sizes.

    Window i of P over X positions is [⌊iX/P⌋, ⌈(i+1)X/P⌉); windows overlap if P does not divide X.
    Shapes: x: N,C,*X; y: N,C,*P. Attributes: fn, axes.
    """
    x, y, axes = spec.inputs[0].shape, spec.outputs[0].shape, spec["axes"]
    if not spec.inputs[0].floating:
        return cost(spec)
    reached = prod(covered(size, out) for size, out in zip(x[-axes:], y[-axes:], strict=True))
    channels, positions = prod(y[:-axes]), prod(y[-axes:])
    if spec["fn"] == "max":
        return cost(spec, flops("compare", 1, "N·C", channels, "ΣR-P", reached - positions))
    return cost(spec, flops("sum and divide", 1, "N·C", channels, "ΣR", reached))


def covered(size: int, out: int) -> int:
    """Return the sum of the sizes of all windows of an adaptive pool along one axis."""
    return sum(-(-(i + 1) * size // out) - i * size // out for i in range(out))


@kind(
    "resize",
    inputs=(one("x", 3, 5),),
    outputs=(one("y", 3, 5),),
    attributes={
        "mode": Literal["nearest", "nearest_exact", "linear", "cubic"],
        "taps": int,
        "axes": int,
        "align": bool,
        "scales": tuple[float, ...] | None,
        "antialias": bool,
    },
    optional={"layout": LAYOUT},
    reach="space.resize",
    workspace=window_workspace.resize,
)
def resize(spec: OpSpec) -> Cost:
    """FLOPs = E·(2·tᵈ − 1): each of E outputs weights tᵈ inputs, t taps per axis (linear 2, cubic 4); nearest is free.

    Attributes: taps, axes d. Computing the weights, once per axis, is not counted.
    """
    taps = spec["taps"] ** spec["axes"]
    if taps == 1 or not spec.inputs[0].floating:
        return cost(spec)
    return cost(spec, flops("weighted sum", 1, "E", spec.outputs[0].numel, "2t-1", 2 * taps - 1))


@kind(
    "sample",
    inputs=(one("x", 4, 5), one("grid", 4, 5)),
    attributes={"taps": int, "axes": int, "locations": int},
)
def sample(spec: OpSpec) -> Cost:
    """FLOPs = E·(2·tᵈ − 1) + L·(4·d + tᵈ·(d − 1)): weighted sums, and coordinates and weights of each of L locations.

    Attributes: taps, axes d, locations L (grid points). With one tap (nearest), only the coordinates count, 4·d·L.
    For grid_sample (Jaderberg et al. 2015).
    """
    d = spec["axes"]
    taps = spec["taps"] ** d
    place = flops("coordinates and weights", 1, "L", spec["locations"], "4d+t(d-1)", 4 * d + taps * (d - 1))
    if taps == 1:
        return cost(spec, flops("coordinates", 4, "L", spec["locations"], "d", d))
    return cost(spec, flops("weighted sum", 1, "E", spec.outputs[0].numel, "2t-1", 2 * taps - 1), place)
