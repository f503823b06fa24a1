"""Matrix products: linear layers, matmul in all its forms, grouped (mixture of experts).

A multiply-accumulate of complex numbers is four of real ones, (a + bi)·(c + di) = (ac − bd) + (ad + bc)i, and so eight
FLOPs; a sum of two complex numbers is two.
"""

from __future__ import annotations

from math import prod

from cnncost.graph import OpSpec
from cnncost.ops.kinds import INTS, kind, maybe, one, rest, some
from cnncost.ops.quantized import scaled
from cnncost.ops.registry import Cost, Term, cost, flops, macs, numbers, parts


def _features_fit(spec: OpSpec) -> str | None:
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
    check=_features_fit,
)
def linear(spec: OpSpec) -> Cost:
    """MACs = M·I·O, one FLOP per output for the bias.

    Shapes: x: *,I with M the product of *; w: O,I; y: *,O. Attribute `integer`: of 8-bit integers, scaled to y.
    """
    x, w = spec.inputs[0].shape, spec.inputs[1].shape
    rows, outs = prod(x[:-1]), prod(w[:-1])
    main = macs("M", rows, "I", x[-1], "O", outs, *parts(spec))
    bias = (flops("bias", numbers(spec), "M", rows, "O", outs),) if spec["bias"] else ()
    return cost(spec, *scaled(spec, main), *bias)


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
    main = (macs("M", rows, "O", o, "I", i, "J", j, *parts(spec)), macs("M", rows, "O", o, "J", j, *parts(spec)))
    return cost(spec, *main, flops("bias", numbers(spec), "M", rows, "O", o)) if spec["bias"] else cost(spec, *main)


@kind(
    "trilinear",
    inputs=(one("i1"), one("i2"), one("i3")),
    attributes={"sizes": INTS, "has": tuple[tuple[bool, ...], ...], "summed": INTS, "unrolled": int},
)
def trilinear(spec: OpSpec) -> Cost:
    """Σ i₁·i₂·i₃ over some axes, by two products per position on one axis: i₁ with i₂, and the result with i₃.

    Attributes: sizes (of all axes), has (three tuples: the axes each input has; it is broadcast over the others),
    summed (axes), unrolled (the axis whose positions are processed one by one). The first product is summed over the
    axes that i₃ lacks, the second over the others. A product without a sum counts as FLOPs, as nothing is accumulated;
    along an axis that only one factor has, that factor is summed first. Ref: _trilinear and sumproduct_pair in ATen's
    native/Linear.cpp. Bilinear layers and their derivatives are computed with it.
    """
    sizes, (one, two, three), summed, axis = spec["sizes"], spec["has"], spec["summed"], spec["unrolled"]
    rest = [d for d in range(len(sizes)) if d != axis]
    places = sizes[axis]
    inner = {d for d in rest if d in summed and not three[d]}
    first = _pair(spec, places, sizes, ({d for d in rest if one[d]}, {d for d in rest if two[d]}), inner)
    both = {d for d in rest if one[d] or two[d]} - inner
    outer = {d for d in rest if d in summed and three[d]}
    terms = first + _pair(spec, places, sizes, (both, {d for d in rest if three[d]}), outer)
    if 0 in sizes:
        return cost(spec)
    if axis in summed and places > 1:
        terms.append(flops("sum of places", numbers(spec), "U-1", places - 1, "outputs", spec.outputs[0].numel))
    return cost(spec, *terms)


def _pair(
    spec: OpSpec, places: int, sizes: tuple[int, ...], axes: tuple[set[int], set[int]], summed: set[int]
) -> list[Term]:
    """Terms of a product of two tensors with these axes, `places` times; `summed` axes may belong to one only."""
    left, right = axes
    terms = []
    for side in (left, right):
        if alone := (side - (left & right)) & summed:
            n, gone = prod(sizes[d] for d in side), prod(sizes[d] for d in alone)
            terms.append(flops("sum", numbers(spec), "U", places, "n-o", n - n // max(gone, 1)))
    shared = summed & left & right
    each = prod(sizes[d] for d in (left | right) - (summed - shared))
    if shared:
        return [*terms, macs("U", places, "products", each, *parts(spec))]
    return [*terms, flops("product", 6 if parts(spec) else 1, "U", places, "products", each)]


def _product_fits(spec: OpSpec) -> str | None:
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
    check=_product_fits,
)
def matmul(spec: OpSpec) -> Cost:
    """MACs = B·M·K·N; the addend of addmm, baddbmm and the like is one FLOP per output.

    Attributes: batch, m, k, n as the product is computed (broadcast batches multiplied out); bias: whether something is
    added; addend: whether the first input is no factor, but what is added (it is given even if β is 0); integer: of
    8-bit integers, scaled to the result.
    """
    batch, m, k, n = spec["batch"], spec["m"], spec["k"], spec["n"]
    main = macs("B", batch, "M", m, "K", k, "N", n, *parts(spec))
    if not spec["bias"]:
        return cost(spec, *scaled(spec, main))
    return cost(spec, *scaled(spec, main), flops("addend", numbers(spec), "outputs", spec.outputs[0].numel))


@kind(
    "grouped_matmul",
    inputs=(one("a", 2, 3), one("b", 2, 3), rest("scales, ends of groups, bias")),
    attributes={"rows": int, "k": int, "n": int, "bias": bool},
)
def grouped_matmul(spec: OpSpec) -> Cost:
    """MACs = T·K·N: each of T rows is multiplied by the matrix of its own group, as in a mixture of experts.

    Attributes: rows T, k, n, bias. The number of experts doesn't matter, only the rows routed to them.
    """
    rows, k, n = spec["rows"], spec["k"], spec["n"]
    main = macs("T", rows, "K", k, "N", n)
    return cost(spec, main, flops("bias", 1, "T", rows, "N", n)) if spec["bias"] else cost(spec, main)
