"""Detection ops: Girshick 2015 (RoIs), He et al. 2017 (RoIAlign), Dai et al. 2017 (deformable convolutions)."""

from __future__ import annotations

from math import prod

from cnncost.graph import OpSpec
from cnncost.ops.kinds import INTS, Types, kind, maybe, one, rest
from cnncost.ops.registry import Cost, cost, flops, macs

BILINEAR = 7
"""FLOPs per sampled element: four products and three additions."""
SPREAD = 8
"""FLOPs per gradient of a sampled element: it is weighted for four pixels, and added to them."""
SLOPE = 7
"""FLOPs per coordinate and sampled element: two differences, two products, a sum; then a product and a sum."""
LOCATION = 12
"""FLOPs per sampled location on two axes, as in `sample`: 4·2 for the coordinates' fractions, four products of them."""


DEFORMABLE: Types = {
    "groups": int, "offset_groups": int, "masked": bool, "kernel": INTS, "stride": INTS, "padding": INTS,
    "dilation": INTS,
}  # fmt: skip


@kind(
    "nms",
    inputs=(one("boxes", 2), one("scores", 1)),
    attributes={"boxes": int},
)
def nms(spec: OpSpec) -> Cost:
    """FLOPs = 3·N + 13·N·(N − 1)/2: areas, and the overlap of each pair, as if no box were suppressed.

    Attribute: boxes N. A pair: 2 maxima, 2 minima, 2 differences, 2 comparisons with 0, a product, a sum and a
    difference of areas, a division, a comparison. Kernels skip suppressed boxes; how many depends on the data.
    """
    n = spec["boxes"]
    return cost(spec, flops("areas", 3, "N", n), flops("overlaps", 13, "pairs", n * (n - 1) // 2))


@kind(
    "roi_align",
    inputs=(one("x", 4), one("rois", 2)),
    attributes={"samples": int},
)
def roi_align(spec: OpSpec) -> Cost | None:
    """FLOPs = Y·s²·(7 + 1) + K·P·Q·s²·12: bilinear samples, their mean (sum and division), locations.

    Shapes: rois: K,5; y: K,C,P,Q with Y elements. Attribute: samples s per bin and axis; 0 if they depend on the
    regions' sizes, so that shapes don't determine the count. Ref: He et al. 2017, section 3.
    """
    if not spec["samples"]:
        return None
    y, squared = spec.outputs[0], spec["samples"] ** 2
    bins = y.numel // max(y.shape[1], 1)
    return cost(
        spec,
        flops("samples and mean", BILINEAR + 1, "Y", y.numel, "s²", squared),
        flops("locations", LOCATION, "K·P·Q", bins, "s²", squared),
    )


@kind(
    "deform_conv",
    inputs=(one("x", 4), one("w", 4), one("offset", 4), maybe("mask"), maybe("bias", 1)),
    attributes=DEFORMABLE,
)
def deform_conv(spec: OpSpec) -> Cost:
    """MACs = N·K·P·(C/g)·R, as for a convolution; further FLOPs: 7 per sampled element, 12 per location, bias, mask.

    Shapes: x: N,C,H,W; w: K,C/g,R,S; offset: N,2·o·R·S,P,Q; y: N,K,P,Q. P and R are products over both axes.
    Attributes: groups, offset_groups o, masked. The mask and the bias may be missing.
    """
    (n, c, *_), w, y = spec.inputs[0].shape, spec.inputs[1].shape, spec.outputs[0].shape
    positions, kernel = prod(y[2:]), prod(w[2:])
    taps: tuple[str | int, ...] = ("N", n, "P", positions, "R", kernel)
    terms = [
        macs("N", n, "K", w[0], "P", positions, "C/g", w[1], "R", kernel),
        flops("sampling", BILINEAR + bool(spec["masked"]), *taps, "C", c),
        flops("locations", LOCATION, *taps, "o", spec["offset_groups"]),
    ]
    if len(spec.inputs) > (4 if spec["masked"] else 3):  # a bias follows x, w, offset, and the mask if there is one
        terms.append(flops("bias", 1, "N", n, "K", w[0], "P", positions))
    return cost(spec, *terms)


@kind(
    "roi_align_backward",
    inputs=(one("∂y", 4), one("rois", 2), rest("mapping")),
    attributes={"samples": int},
)
def roi_align_backward(spec: OpSpec) -> Cost | None:
    """FLOPs = Y·s²·(8 + 1) + K·P·Q·s²·12: each sample's share of g, weighted for four pixels and added; locations.

    Shapes: g: K,C,P,Q with Y elements. Attribute: samples s, as for roi_align.
    """
    if not spec["samples"]:
        return None
    y, squared = spec.inputs[0], spec["samples"] ** 2
    bins = y.numel // max(y.shape[1], 1)
    return cost(
        spec,
        flops("shares", SPREAD + 1, "Y", y.numel, "s²", squared),
        flops("locations", LOCATION, "K·P·Q", bins, "s²", squared),
    )


@kind(
    "deform_conv_backward",
    inputs=(one("∂y", 4), one("x", 4), one("w", 4), one("offset", 4), one("mask"), one("bias", 1)),
    attributes=DEFORMABLE,
)
def deform_conv_backward(spec: OpSpec) -> Cost:
    """MACs = 2·N·K·P·(C/g)·R: the gradients of the samples and of the weight.

    Further FLOPs per sampled element: sampling it again 7; adding its weighted gradient to four pixels 8; for each
    coordinate of its location, the slope 5 and its product with g, summed, 2; with a mask, 1 more for each of these
    three, and 9 for the mask's gradient (the sample 7; its product with g, summed, 2). 12 per location for each of the
    three; N·K·P sums for the bias.
    Shapes: g: N,K,P,Q; x: N,C,H,W; w: K,C/g,R,S. Attributes: as for deform_conv. Ref: Dai et al. 2017, section 2.
    """
    g, (n, c, *_), w = spec.inputs[0].shape, spec.inputs[1].shape, spec.inputs[2].shape
    positions, kernel, masked = prod(g[2:]), prod(w[2:]), bool(spec["masked"])
    taps: tuple[str | int, ...] = ("N", n, "P", positions, "R", kernel)
    terms = [
        macs("2", 2, "N", n, "K", w[0], "P", positions, "C/g", w[1], "R", kernel),
        flops("sampling", BILINEAR + masked, *taps, "C", c),
        flops("gradient of the input", SPREAD + masked, *taps, "C", c),
        flops("gradient of the offsets", 2 * SLOPE + masked, *taps, "C", c),
        flops("locations", LOCATION, "3", 3, *taps, "o", spec["offset_groups"]),
        flops("gradient of the bias", 1, "N", n, "K", w[0], "P", positions),
    ]
    if masked:
        terms.append(flops("gradient of the mask", BILINEAR + 2, *taps, "C", c))
    return cost(spec, *terms)
