"""Convolution, forward. Dumoulin & Visin 2016, A guide to convolution arithmetic, for the geometry."""

from __future__ import annotations

from math import prod

from cnncost.graph import OpSpec
from cnncost.ops.registry import Cost, cost, flops, macs, rule


@rule("conv")
def conv(spec: OpSpec) -> Cost:
    """MACs = N·K·P·(C/g)·R; transposed: N·C·X·(K/g)·R.

    Shapes: x: N,C,*X (N may be missing); w: K,C/g,*R, transposed C,K/g,*R; y: N,K,*P.
    X, P, R are products over the spatial axes.
    Zero-padded positions count; a transposed convolution is counted by its input positions. The bias
    is one FLOP per output.
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
        return cost(spec, main)
    return cost(spec, main, flops("bias", 1, "N", batch, "K", channels_out, "P", prod(y[-axes:])))
