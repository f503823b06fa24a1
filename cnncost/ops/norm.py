"""Normalisation.

Per-group scalars (a division, ε and a root per group) are left out of the counts, except for the RMS norm, whose
parts autograd records individually.
"""

from __future__ import annotations

from math import prod

from cnncost.graph import OpSpec
from cnncost.ops.registry import Cost, cost, flops, rule

STATISTICS = 4
"""Per element: sum; deviation, its square, their sum."""
NORMALISE = 2
"""Per element: subtract the mean, multiply by 1/σ."""
SCALE_SHIFT = 2


@rule("norm")
def norm(spec: OpSpec) -> Cost:
    """FLOPs per element: batch norm 2; layer, group, instance norm 6, scaled 8; RMS norm 3, scaled 4, and 3 per row.

    Attributes: fn (batch, layer, group, instance, rms), affine, statistics (whether they are computed
    from the data). Ref: Ioffe & Szegedy 2015; Ba et al. 2016; Wu & He 2018; Ulyanov et al. 2016;
    Zhang & Sennrich 2019.
    Batch norm with running statistics is one multiplication and one addition, as inference folds the
    statistics into scale and shift; train mode counts the same, so that a model costs the same in both.
    Without running statistics it is an instance of the general case.
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


@rule("weight_norm")
def weight_norm(spec: OpSpec) -> Cost:
    """FLOPs = 3·n + K: squares, sums (less K) and products n each, K roots, K divisions g/‖v‖.

    Ref: Salimans & Kingma 2016.

    Shapes: v: n elements; g: K norms.
    """
    v, g = spec.inputs[0], spec.inputs[1]
    return cost(
        spec, flops("square, sum, scale", 3, "n", v.numel), flops("root and division less a sum", 1, "K", g.numel)
    )


@rule("renorm")
def renorm(spec: OpSpec) -> Cost:
    """FLOPs = 3·E: the squares and sums of a norm for each slice, and its scaling, as if each exceeded the maximum.

    Attribute: elements E.
    """
    return cost(spec, flops("norm and scale", 3, "E", spec["elements"]))
