"""Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1) and fused encoder layers."""

from __future__ import annotations

from cnncost.graph import OpSpec
from cnncost.ops.pointwise import FLOPS
from cnncost.ops.reduce import SOFTMAX_FLOPS
from cnncost.ops.registry import Cost, Term, cost, flops, macs, rule

NORM_FLOPS = 8
"""Per element of a layer norm with scale and shift; the norm rule states how it is made up."""


@rule("attention")
def attention(spec: OpSpec) -> Cost:
    """MACs = B·L·S·E + B·L·S·V: scores QKᵀ and their product with the values.

    Attributes: batch B (all leading axes with the heads), queries L, keys S, width E, value_width V,
    mask (whether one is added). A causal mask does not lessen the count: kernels that skip blocks do
    so by tile size, and the dense count is the field's.
    Counts: besides, queries and keys each scaled by the root of the scale (as the reference
    implementation does), one FLOP per score for a mask, and the softmax.
    """
    b, length, keys = spec["batch"], spec["queries"], spec["keys"]
    return cost(spec, *_core(b, length, keys, spec["width"], spec["value_width"], bool(spec["mask"])))


def _core(
    b: int, length: int, keys: int, width: int, value_width: int, mask: bool, scaled: int | None = None
) -> tuple[Term, ...]:
    scores: tuple[str | int, ...] = ("B", b, "L", length, "S", keys)
    return (
        macs(*scores, "E", width, what="scores"),
        macs(*scores, "V", value_width, what="weighted values"),
        flops(
            "scale",
            1,
            "B",
            b,
            "L+S" if scaled is None else "L",
            length + keys if scaled is None else scaled,
            "E",
            width,
        ),
        *((flops("mask", 1, *scores),) if mask else ()),
        flops("softmax", SOFTMAX_FLOPS, *scores),
    )


@rule("mha")
def multi_head(spec: OpSpec) -> Cost:
    """Fused multi-head attention: B·L·(3·D²) + attention + B·L·D² MACs.

    Attributes: batch, queries, keys, width D, heads, mask; weights: whether the scores are returned, which
    torch then computes with the queries alone scaled; average: whether over the heads. Same count as the unfused layer.
    """
    return cost(spec, *_multi_head(spec))


def _multi_head(spec: OpSpec) -> tuple[Term, ...]:
    b, length, keys, d, heads = spec["batch"], spec["queries"], spec["keys"], spec["width"], spec["heads"]
    return (
        macs("B", b, "L", length, "D", d, "D'", d, what="query projection"),
        macs("2", 2, "B", b, "S", keys, "D", d, "D'", d, what="key and value projections"),
        flops("projection bias", 1, "B", b, "L+2S", length + 2 * keys, "D", d),
        *_core(
            b * heads, length, keys, d // heads, d // heads, bool(spec["mask"]), length if spec["weights"] else None
        ),
        *((flops("mean over heads", 1, "B", b, "H", heads, "L", length, "S", keys),) if spec["average"] else ()),
        macs("B", b, "L", length, "D", d, "D'", d, what="output projection"),
        flops("output bias", 1, "B", b, "L", length, "D", d),
    )


@rule("encoder_layer")
def encoder_layer(spec: OpSpec) -> Cost:
    """Fused transformer encoder layer: multi-head attention + 2·B·L·D·F MACs, two norms, two residual sums.

    Attributes: those of `mha`, and ffn F, activation. Same count as the unfused layer.
    """
    b, length, d, f = spec["batch"], spec["queries"], spec["width"], spec["ffn"]
    tokens: tuple[str | int, ...] = ("B", b, "L", length)
    return cost(
        spec,
        *_multi_head(spec),
        macs("2", 2, *tokens, "D", d, "F", f, what="feed-forward"),
        flops("feed-forward bias", 1, *tokens, "F+D", f + d),
        flops(str(spec["activation"]), FLOPS[spec["activation"]], *tokens, "F", f),
        flops("layer norms", 2 * NORM_FLOPS, *tokens, "D", d),
        flops("residual sums", 2, *tokens, "D", d),
    )
