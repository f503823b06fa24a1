"""Normalization.

Scalars per group (a division, ε and a root) are left out of the counts, except for RMS norm, whose parts autograd
records individually.
"""

from __future__ import annotations

from math import prod
from typing import Literal

from cnncost.graph import OpSpec
from cnncost.ops import window_workspace
from cnncost.ops.kinds import LAYOUT, kind, one, rest, some
from cnncost.ops.registry import Cost, cost, flops

STATISTICS = 4
"""FLOPs per element: sum; deviation, its square, their sum."""
NORMALISE = 2
"""FLOPs per element: subtract the mean, multiply by 1/σ."""
SCALE_SHIFT = 2


def _axes_fault(spec: OpSpec) -> str | None:
    """Return a message if layer or RMS norm lacks its number of normalized last axes, or group norm its groups."""
    attribute = {"layer": "axes", "rms": "axes", "group": "groups"}.get(spec["fn"])
    if attribute is not None and spec.get(attribute) is None:
        return f"{spec['fn']} norm needs the attribute {attribute!r} (int), got {[name for name, _ in spec.attrs]}"
    return None


@kind(
    "norm",
    inputs=(one("x"), rest("scale, shift and statistics")),
    outputs=(one("y"), rest("statistics")),
    attributes={"fn": Literal["batch", "layer", "group", "instance", "rms"], "affine": bool, "statistics": bool},
    optional={"axes": int, "groups": int, "layout": LAYOUT},
    reach="elements.norm",
    workspace=window_workspace.norm,
    check=_axes_fault,
)
def norm(spec: OpSpec) -> Cost:
    """FLOPs per element: batch norm 2; layer, group, instance norm 6, scaled 8; RMS norm 3, scaled 4, and 3 per row.

    Attributes: fn (batch, layer, group, instance, rms), affine, statistics (whether they are computed
    from the data). Ref: Ioffe & Szegedy 2015; Ba et al. 2016; Wu & He 2018; Ulyanov et al. 2016;
    Zhang & Sennrich 2019.
    Batch norm with running statistics is one multiplication and one addition, because inference folds the
    statistics into scale and shift; train mode counts the same, so that a model costs the same in both.
    Without running statistics, it counts like the other norms.
    """
    n = spec.inputs[0].numel
    if spec["fn"] == "rms":  # x², sum, · 1/rms, · scale; a division by the width, ε, √ and 1/x per row, minus a sum
        rows = prod(spec.inputs[0].shape[: -spec["axes"]])
        each = 3 + bool(spec["affine"])
        return cost(spec, flops("RMS norm", each, "n", n), flops("per row", 3, "rows", rows))
    if not spec["statistics"]:
        return cost(spec, flops("scale and shift", SCALE_SHIFT, "n", n))
    terms = [flops("statistics", STATISTICS, "n", n), flops("normalise", NORMALISE, "n", n)]
    if spec["affine"]:
        terms.append(flops("scale and shift", SCALE_SHIFT, "n", n))
    return cost(spec, *terms)


@kind(
    "weight_norm",
    inputs=(one("v"), one("g")),
)
def weight_norm(spec: OpSpec) -> Cost:
    """FLOPs = 3·n + K: squares, sums (less K) and products n each, K roots, K divisions g/‖v‖.

    Ref: Salimans & Kingma 2016.

    Shapes: v: n elements; g: K norms.
    """
    v, g = spec.inputs[0], spec.inputs[1]
    return cost(
        spec, flops("square, sum, scale", 3, "n", v.numel), flops("root and division less a sum", 1, "K", g.numel)
    )


@kind(
    "renorm",
    inputs=(some("x"),),
    attributes={"elements": int},
)
def renorm(spec: OpSpec) -> Cost:
    """FLOPs = 3·E: squares and sums for each slice's norm, and its scaling, as if each norm exceeded the maximum.

    Attribute: elements E.
    """
    return cost(spec, flops("norm and scale", 3, "E", spec["elements"]))
