"""Matrix products: linear layers, matmul in all its variants, grouped products (mixture of experts).

A complex multiply-accumulate is four real ones, (a + bi)·(c + di) = (ac − bd) + (ad + bc)i, and so eight FLOPs; a sum
of two complex numbers is two.
"""

from __future__ import annotations

from math import prod

from cnncost.graph import OpSpec
from cnncost.ops.complex_numbers import MULTIPLY
from cnncost.ops.kinds import INTS, kind, maybe, one, rest, some
from cnncost.ops.quantized import product_terms
from cnncost.ops.registry import Cost, Term, complex_factor, cost, flops, macs, reals_per_element


def _features_fault(spec: OpSpec) -> str | None:
    x, w, y = spec.inputs[0].shape, spec.inputs[1].shape, spec.outputs[0].shape
    if x[-1] != w[-1] or y != (*x[:-1], *w[:-1]):
        return f"expected x of *,I, w of O,I and y of *,O, got {x}, {w} and {y}"
    return None


@kind(
    "linear",
    inputs=(one("x", 1, None), one("w", 1, 2), maybe("bias")),
    attributes={"bias": bool},
    optional={"integer": bool},
    reach="mixing.linear",
    check=_features_fault,
    traits=("product", "weighted"),
)
def linear(spec: OpSpec) -> Cost:
    """MACs = M·I·O, one FLOP per output for the bias.

    Shapes: x: *,I with M the product of *; w: O,I; y: *,O. Attribute `integer`: a product of 8-bit integers, whose
    sums are rescaled to y.
    """
    x, w = spec.inputs[0].shape, spec.inputs[1].shape
    rows, outs = prod(x[:-1]), prod(w[:-1])
    main = macs("M", rows, "I", x[-1], "O", outs, *complex_factor(spec))
    bias = (flops("bias", reals_per_element(spec), "M", rows, "O", outs),) if spec["bias"] else ()
    return cost(spec, *product_terms(spec, main), *bias)


@kind(
    "bilinear",
    inputs=(one("x1", 1, None), one("x2", 1, None), one("w", 3), maybe("bias", 1)),
    attributes={"bias": bool},
    reach="mixing.bilinear",
)
def bilinear(spec: OpSpec) -> Cost:
    """MACs = M·O·I·J + M·O·J: x1ᵀW x2 for each output feature.

    Shapes: x1: *,I; x2: *,J; w: O,I,J; y: *,O.
    """
    rows, (o, i, j) = prod(spec.inputs[0].shape[:-1]), spec.inputs[2].shape
    each = complex_factor(spec)
    terms = [macs("M", rows, "O", o, "I", i, "J", j, *each), macs("M", rows, "O", o, "J", j, *each)]
    if spec["bias"]:
        terms.append(flops("bias", reals_per_element(spec), "M", rows, "O", o))
    return cost(spec, *terms)


@kind(
    "trilinear",
    inputs=(one("i1"), one("i2"), one("i3")),
    attributes={"sizes": INTS, "has": tuple[tuple[bool, ...], ...], "summed": INTS, "unrolled": int},
)
def trilinear(spec: OpSpec) -> Cost:
    """Σ i₁·i₂·i₃ over some axes, with two products for each position of one axis: i₁ and i₂, and their result and i₃.

    Attributes: sizes (of all axes), has (for each of the three inputs, which axes it has; it is broadcast over the
    others), summed (axes), unrolled (the axis whose U positions are processed one by one). The first product is summed
    over the axes that i₃ lacks, the second over the others. A product without a sum counts FLOPs only, because nothing
    is accumulated; if only one factor has a summed axis, that factor is summed first. Ref: _trilinear and
    sumproduct_pair in ATen's native/Linear.cpp, which compute bilinear layers and their derivatives.
    """
    sizes, (has_1, has_2, has_3), summed, axis = spec["sizes"], spec["has"], spec["summed"], spec["unrolled"]
    axes = [d for d in range(len(sizes)) if d != axis]
    positions = sizes[axis]
    inner = {d for d in axes if d in summed and not has_3[d]}
    first = _pair(spec, positions, sizes, ({d for d in axes if has_1[d]}, {d for d in axes if has_2[d]}), inner)
    both = {d for d in axes if has_1[d] or has_2[d]} - inner
    outer = {d for d in axes if d in summed and has_3[d]}
    terms = first + _pair(spec, positions, sizes, (both, {d for d in axes if has_3[d]}), outer)
    if 0 in sizes:
        return cost(spec)
    if axis in summed and positions > 1:
        each, outputs = reals_per_element(spec), spec.outputs[0].numel
        terms.append(flops("sum over positions", each, "U-1", positions - 1, "outputs", outputs))
    return cost(spec, *terms)


def _pair(
    spec: OpSpec, positions: int, sizes: tuple[int, ...], axes: tuple[set[int], set[int]], summed: set[int]
) -> list[Term]:
    """Terms of `positions` products of two tensors, given by their axes; a `summed` axis may belong to only one."""
    left, right = axes
    terms = []
    for side in (left, right):
        if alone := (side - (left & right)) & summed:
            n, per_sum = prod(sizes[d] for d in side), prod(sizes[d] for d in alone)
            terms.append(flops("sum", reals_per_element(spec), "U", positions, "n-o", n - n // max(per_sum, 1)))
    shared = summed & left & right
    each = prod(sizes[d] for d in (left | right) - (summed - shared))
    if shared:
        return [*terms, macs("U", positions, "products", each, *complex_factor(spec))]
    each_product = MULTIPLY if complex_factor(spec) else 1
    return [*terms, flops("product", each_product, "U", positions, "products", each)]


def _product_fault(spec: OpSpec) -> str | None:
    sizes = [spec[name] for name in ("batch", "m", "n")]
    if spec.outputs[0].numel != prod(sizes):
        return f"expected {' · '.join(map(str, sizes))} outputs by batch, m and n, got {spec.outputs[0].shape}"
    return None


@kind(
    "matmul",
    inputs=(some("addend, factors, scales"),),
    attributes={"batch": int, "m": int, "k": int, "n": int, "bias": bool},
    optional={"addend": bool, "integer": bool},
    reach="mixing.matmul",
    check=_product_fault,
    traits=("product",),
)
def matmul(spec: OpSpec) -> Cost:
    """MACs = B·M·K·N; the addend of addmm, baddbmm and similar ops is one FLOP per output.

    Attributes: batch, m, k, n, after broadcasting the batch axes; bias: whether an addend is added; addend: whether the
    first input is the addend (which addmm takes even if β is 0), not a factor; integer: a product of 8-bit integers,
    whose sums are rescaled to the result.
    """
    batch, m, k, n = spec["batch"], spec["m"], spec["k"], spec["n"]
    main = macs("B", batch, "M", m, "K", k, "N", n, *complex_factor(spec))
    if not spec["bias"]:
        return cost(spec, *product_terms(spec, main))
    return cost(
        spec, *product_terms(spec, main), flops("addend", reals_per_element(spec), "outputs", spec.outputs[0].numel)
    )


@kind(
    "grouped_matmul",
    inputs=(one("a", 2, 3), one("b", 2, 3), rest("scales, ends of groups, bias")),
    attributes={"rows": int, "k": int, "n": int, "bias": bool},
)
def grouped_matmul(spec: OpSpec) -> Cost:
    """MACs = T·K·N: each of T rows is multiplied by the matrix of its own group, as in a mixture of experts.

    Attributes: rows T, k, n, bias. The number of experts doesn't matter, only how many rows are routed to them.
    """
    rows, k, n = spec["rows"], spec["k"], spec["n"]
    main = macs("T", rows, "K", k, "N", n)
    return cost(spec, main, flops("bias", 1, "T", rows, "N", n)) if spec["bias"] else cost(spec, main)
