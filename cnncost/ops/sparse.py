"""Ops on sparse tensors: only stored elements count.

A product of a sparse and a dense matrix multiplies each stored element by a row of the dense one (or by a column, if
the sparse one is on the right), including explicit zeros and duplicates, as kernels do. The literature on sparse
networks counts in the same way (Gale et al. 2020, section 2: 2·nnz·N FLOPs).
"""

from __future__ import annotations

from typing import Literal

from cnncost.graph import OpSpec
from cnncost.ops.kinds import kind, one, rest, some
from cnncost.ops.pointwise import FLOPS
from cnncost.ops.reduce import REDUCTION_FLOPS, SOFTMAX_FLOPS
from cnncost.ops.registry import Cost, cost, flops, macs

SOFTMAX_BACKWARD_FLOPS = 4
"""FLOPs per element, as for a dense softmax: g·y, its sum, a difference, a product."""


@kind(
    "sparse::matmul",
    inputs=(some("addend, factors"),),
    attributes={"stored": int, "n": int, "bias": bool},
    optional={"mean": bool, "addend": bool},
)
def sparse_matmul(spec: OpSpec) -> Cost:
    """MACs = Z·N: Z stored elements of the sparse factor, each with N elements of the dense one.

    Attributes: stored Z, n; addend: whether the first input is an addend, not a factor; bias: whether it is added to
    each output, that is, beta is not 0; mean: whether each output's products are averaged. For two sparse factors Z is
    the number of pairs of elements that are multiplied, and N is 1.
    """
    terms = [macs("Z", spec["stored"], "N", spec["n"])]
    if spec["bias"]:
        terms.append(flops("addend", 1, "outputs", spec.outputs[0].numel))
    if spec.get("mean"):
        terms.append(flops("divide", 1, "outputs", spec.outputs[0].numel))
    return cost(spec, *terms)


@kind(
    "sparse::extremes",
    inputs=(some("addend, factors"),),
    attributes={"stored": int, "n": int, "bias": bool},
    optional={"addend": bool},
)
def sparse_extremes(spec: OpSpec) -> Cost:
    """FLOPs = 2·Z·N: a product and a comparison, for sparse products that keep the largest or smallest product.

    Attributes: as for a sparse product; bias is always false, because no op of this kind has an addend. Nothing
    is accumulated, so these are not MACs.
    """
    return cost(spec, flops("product, compare", 2, "Z", spec["stored"], "N", spec["n"]))


@kind(
    "sparse::sampled_matmul",
    inputs=(one("addend", 2), one("a", 2), one("b", 2)),
    attributes={"stored": int, "k": int, "bias": bool},
)
def sampled_matmul(spec: OpSpec) -> Cost:
    """MACs = Z·K: a product of two dense matrices at the Z positions that a sparse one stores.

    Attributes: stored Z, k; bias: whether the sparse matrix is added.
    """
    z = spec["stored"]
    main = macs("Z", z, "K", spec["k"])
    return cost(spec, main, flops("addend", 1, "Z", z)) if spec["bias"] else cost(spec, main)


@kind(
    "sparse::softmax",
    inputs=(one("x"),),
    attributes={"fn": Literal["softmax", "log_softmax"], "stored": int},
)
def sparse_softmax(spec: OpSpec) -> Cost:
    """FLOPs = 5·Z, as for a dense softmax, over the Z stored elements; the others count as −∞."""
    return cost(spec, flops(spec["fn"], SOFTMAX_FLOPS, "Z", spec["stored"]))


@kind(
    "sparse::softmax_backward",
    inputs=(one("∂y"), one("y"), rest("x")),
    attributes={"stored": int},
)
def sparse_softmax_backward(spec: OpSpec) -> Cost:
    """FLOPs = 4·Z, as for a dense softmax, over the Z stored elements."""
    return cost(spec, flops("gradient of softmax", SOFTMAX_BACKWARD_FLOPS, "Z", spec["stored"]))


@kind(
    "sparse::reduce",
    inputs=(one("x"), rest("out")),
    attributes={"fn": str, "stored": int, "left": int},
)
def sparse_reduce(spec: OpSpec) -> Cost | None:
    """FLOPs = a·Z + b·O for Z stored elements in and O out, by function as for a dense reduction; a sum is Z − O.

    Attributes: fn, stored Z, left O. Coalescing is a sum, of duplicates. An empty sum has no additions.
    """
    if spec["fn"] not in REDUCTION_FLOPS:
        return None
    if not spec.inputs[0].floating or not spec["stored"]:
        return cost(spec)
    per_in, per_out = REDUCTION_FLOPS[spec["fn"]]
    pairs = ((per_in, "Z", spec["stored"]), (per_out, "O", spec["left"]))
    return cost(spec, *[flops(spec["fn"], each, name, n) for each, name, n in pairs if each])


@kind(
    "sparse::pointwise",
    inputs=(rest("x"),),
    attributes={"fn": str, "stored": int},
)
def sparse_pointwise(spec: OpSpec) -> Cost | None:
    """FLOPs = c·Z for Z stored elements, c FLOPs each; in a sum of two tensors, only elements that both store count.

    Attributes: fn, stored Z.
    """
    each = FLOPS.get(spec["fn"])
    if each is None:
        return None
    if not each or not any(t.floating for t in spec.inputs + spec.outputs):
        return cost(spec)
    return cost(spec, flops(spec["fn"], each, "Z", spec["stored"]))
