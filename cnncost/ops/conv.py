"""Convolution, forward. For the geometry see Dumoulin & Visin 2016, A guide to convolution arithmetic."""

from __future__ import annotations

from math import prod
from typing import Any, Literal

from cnncost.graph import OpSpec
from cnncost.ops import conv_workspace
from cnncost.ops.kinds import INTS, LAYOUT, Types, kind, maybe, one
from cnncost.ops.quantized import product_terms
from cnncost.ops.registry import Cost, cost, flops, macs

GEOMETRY: Types = {
    "kernel": INTS, "stride": INTS, "padding": INTS | Literal["same", "valid"], "dilation": INTS, "groups": int,
    "transposed": bool, "output_padding": INTS, "bias": bool,
}  # fmt: skip
"""Tuples have one number per spatial axis; `kernel` repeats the weight's spatial sizes."""


def _geometry_fault(spec: OpSpec) -> str | None:
    """Return a message if the input or the attributes don't fit the weight: number of axes, kernel size, channels."""
    x, w = spec.inputs[0].shape, spec.inputs[1].shape
    attrs: dict[str, Any] = dict(spec.attrs)  # faster than looking each up in the spec
    axes = len(w) - 2
    if len(x) not in (axes + 1, axes + 2):
        return f"expected x of rank {axes + 1} or {axes + 2} for a weight of rank {len(w)}, got rank {len(x)}"
    for name in ("kernel", "stride", "padding", "dilation", "output_padding"):
        if not isinstance(attrs[name], str) and len(attrs[name]) != axes:
            return f"expected {axes} numbers in {name!r}, one per spatial axis of the weight, got {attrs[name]}"
    if attrs["kernel"] != w[2:]:
        return f"expected the weight's kernel size {w[2:]}, got {attrs['kernel']}"
    channels, expected = x[len(x) - axes - 1], w[0] if attrs["transposed"] else w[1] * attrs["groups"]
    if channels != expected:
        return f"expected x to have {expected} channels by weight and groups, got {channels}"
    y, channels = spec.outputs[0].shape, w[1] * attrs["groups"] if attrs["transposed"] else w[0]
    if len(y) != len(x) or y[-axes - 1] != channels:
        return f"expected y of rank {len(x)} with {channels} channels, got {y}"
    return None


@kind(
    "conv",
    inputs=(one("x", 2, 5), one("w", 3, 5), maybe("bias", 1)),
    outputs=(one("y", 2, 5),),
    attributes=GEOMETRY,
    optional={"layout": LAYOUT, "integer": bool},
    reach="space.conv",
    workspace=conv_workspace.conv,
    check=_geometry_fault,
    traits=("convolution", "weighted"),
)
def conv(spec: OpSpec) -> Cost:
    """MACs = N·K·P·(C/g)·R; transposed: N·C·X·(K/g)·R.

    Shapes: x: N,C,*X (N may be missing); w: K,C/g,*R, transposed C,K/g,*R; y: N,K,*P.
    X, P, R are products over the spatial axes.
    Zero-padded positions count; a transposed convolution is counted by its input positions. The bias
    is one FLOP per output. Attribute `integer`: a product of 8-bit integers, whose sums are rescaled to y.
    """
    x, w, y = spec.inputs[0].shape, spec.inputs[1].shape, spec.outputs[0].shape
    axes = len(w) - 2
    batch = x[0] if len(x) == axes + 2 else 1
    kernel, channels_out = prod(w[2:]), y[-axes - 1]
    if spec["transposed"]:
        main = macs("N", batch, "C", w[0], "X", prod(x[-axes:]), "K/g", w[1], "R", kernel)
    else:
        main = macs("N", batch, "K", w[0], "P", prod(y[-axes:]), "C/g", w[1], "R", kernel)
    if not spec["bias"]:
        return cost(spec, *product_terms(spec, main))
    return cost(spec, *product_terms(spec, main), flops("bias", 1, "N", batch, "K", channels_out, "P", prod(y[-axes:])))
