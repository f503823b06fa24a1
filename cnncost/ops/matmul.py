"""Matrix products: linear layers, matmul in all its forms, grouped (mixture of experts)."""

from __future__ import annotations

from math import prod

from cnncost.graph import OpSpec
from cnncost.ops.registry import Cost, cost, flops, macs, rule


@rule("linear")
def linear(spec: OpSpec) -> Cost:
    """MACs = M·I·O, one FLOP per output for the bias.

    Shapes: x: *,I with M the product of *; w: O,I; y: *,O.
    """
    x, w = spec.inputs[0].shape, spec.inputs[1].shape
    rows, outs = prod(x[:-1]), prod(w[:-1])
    main = macs("M", rows, "I", x[-1], "O", outs)
    return cost(spec, main, flops("bias", 1, "M", rows, "O", outs)) if spec["bias"] else cost(spec, main)


@rule("bilinear")
def bilinear(spec: OpSpec) -> Cost:
    """MACs = M·O·I·J + M·O·J: x1ᵀW x2 for each output feature.

    Shapes: x1: *,I; x2: *,J; w: O,I,J; y: *,O.
    """
    rows, (o, i, j) = prod(spec.inputs[0].shape[:-1]), spec.inputs[2].shape
    main = (macs("M", rows, "O", o, "I", i, "J", j), macs("M", rows, "O", o, "J", j))
    return cost(spec, *main, flops("bias", 1, "M", rows, "O", o)) if spec["bias"] else cost(spec, *main)


@rule("trilinear")
def trilinear(spec: OpSpec) -> Cost:
    """MACs = M·O·I·J + M·O·J: a bilinear layer without its bias, as autograd sees it.

    Attributes: rows M, left I, right J, out O.
    """
    rows, i, j, o = spec["rows"], spec["left"], spec["right"], spec["out"]
    return cost(spec, macs("M", rows, "O", o, "I", i, "J", j), macs("M", rows, "O", o, "J", j))


@rule("matmul")
def matmul(spec: OpSpec) -> Cost:
    """MACs = B·M·K·N; the addend of addmm, baddbmm and the like is one FLOP per output.

    Attributes: batch, m, k, n as the product is computed (broadcast batches multiplied out), bias:
    whether something is added.
    """
    batch, m, k, n = spec["batch"], spec["m"], spec["k"], spec["n"]
    main = macs("B", batch, "M", m, "K", k, "N", n)
    if not spec["bias"]:
        return cost(spec, main)
    return cost(spec, main, flops("addend", 1, "outputs", spec.outputs[0].numel))


@rule("grouped_matmul")
def grouped_matmul(spec: OpSpec) -> Cost:
    """MACs = T·K·N: each of T rows meets the matrix of its own group, as a mixture of experts routes them.

    Attributes: rows T, k, n, bias. The number of experts doesn't matter, only the rows routed to them.
    """
    rows, k, n = spec["rows"], spec["k"], spec["n"]
    main = macs("T", rows, "K", k, "N", n)
    return cost(spec, main, flops("bias", 1, "T", rows, "N", n)) if spec["bias"] else cost(spec, main)
