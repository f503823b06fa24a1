"""Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1) and fused encoder layers."""

from __future__ import annotations

from typing import Literal

from cnncost.graph import OpSpec
from cnncost.ops.encoder_memory import attention_scratch, layer_scratch
from cnncost.ops.kinds import Types, kind, one, rest
from cnncost.ops.pointwise import FLOPS
from cnncost.ops.reduce import SOFTMAX_FLOPS
from cnncost.ops.registry import Cost, Term, cost, flops, macs

NORM_FLOPS = 8
"""FLOPs per element of a layer norm with scale and shift, as counted by the rule for `norm`."""


ATTENTION: Types = {
    "batch": int, "value_batch": int, "queries": int, "keys": int, "width": int, "value_width": int, "scaled": int,
    "mask": bool, "causal": bool,
}  # fmt: skip
ATTENTION_FORMS: Types = {"lower_right": bool, "kernel": str}
"""lower_right: whether a causal mask that isn't square is aligned to its lower right corner; kernel: the kernel that
the user selected with `sdpa_kernel`."""
MULTI_HEAD: Types = {
    "batch": int, "queries": int, "keys": int, "width": int, "heads": int, "mask": bool, "weights": bool,
    "average": bool, "mask_type": int | None,
}  # fmt: skip


@kind(
    "attention",
    inputs=(one("q", 2, None), one("k", 2, None), one("v", 2, None), rest("mask and random state")),
    attributes=ATTENTION,
    optional=ATTENTION_FORMS,
    reach="mixing.attention",
)
def attention(spec: OpSpec) -> Cost:
    """MACs = B·L·S·E + B'·L·S·V: scores QKᵀ and their product with the values.

    Attributes: batch B (product of the leading axes of queries and keys after broadcasting, heads included),
    value_batch B' (the same product for the result), queries L, keys S, width E, value_width V, scaled (number of
    elements of queries and keys), mask (whether one is added to the scores). A causal mask does not reduce the count:
    how much a kernel skips depends on its tile size, and the dense count is the usual convention.
    Further FLOPs: scaling both queries and keys by the square root of the scale (as the reference implementation does),
    one FLOP per score for a mask, and the softmax.
    """
    scores = (spec["batch"], spec["queries"], spec["keys"])
    values = (spec["value_batch"], spec["value_width"])
    return cost(spec, *_core(scores, spec["width"], values, spec["scaled"], bool(spec["mask"])))


def _core(
    scores: tuple[int, int, int], width: int, values: tuple[int, int], scaled: int, mask: bool
) -> tuple[Term, ...]:
    """Terms of scaled dot-product attention. `scores`: B, L, S; `values`: B', V; `scaled`: elements of Q and K."""
    b, length, keys = scores
    value_batch, value_width = values
    each: tuple[str | int, ...] = ("B", b, "L", length, "S", keys)
    return (
        macs(*each, "E", width, label="scores"),
        macs("B'", value_batch, "L", length, "S", keys, "V", value_width, label="weighted values"),
        flops("scale", 1, "Q+K", scaled),
        *((flops("mask", 1, *each),) if mask else ()),
        flops("softmax", SOFTMAX_FLOPS, *each),
    )


@kind(
    "mha",
    inputs=(one("query", 3), one("key", 3), one("value", 3), rest("weights, biases and mask")),
    attributes=MULTI_HEAD,
    reach="mixing.mha",
    scratch=attention_scratch,
)
def multi_head(spec: OpSpec) -> Cost:
    """Fused multi-head attention: B·(L + 2·S)·D² + attention + B·L·D² MACs.

    Attributes: batch B, queries L, keys S, width D, heads, mask; weights: whether the attention weights are returned
    (torch then scales only the queries); average: whether they are averaged over heads; mask_type: torch's number for
    the mask's shape. The count is that of the unfused layer.
    """
    return cost(spec, *_multi_head(spec))


def _multi_head(spec: OpSpec) -> tuple[Term, ...]:
    """Terms of multi-head attention with its projections."""
    b, length, keys, d, heads = spec["batch"], spec["queries"], spec["keys"], spec["width"], spec["heads"]
    scaled = length if spec["weights"] else length + keys
    return (
        macs("B", b, "L", length, "D", d, "D'", d, label="query projection"),
        macs("2", 2, "B", b, "S", keys, "D", d, "D'", d, label="key and value projections"),
        flops("projection bias", 1, "B", b, "L+2S", length + 2 * keys, "D", d),
        *_core((b * heads, length, keys), d // heads, (b * heads, d // heads), b * d * scaled, bool(spec["mask"])),
        *((flops("mean over heads", 1, "B", b, "H", heads, "L", length, "S", keys),) if spec["average"] else ()),
        macs("B", b, "L", length, "D", d, "D'", d, label="output projection"),
        flops("output bias", 1, "B", b, "L", length, "D", d),
    )


@kind(
    "encoder_layer",
    inputs=(one("src", 3), rest("weights, biases and mask")),
    attributes={**MULTI_HEAD, "ffn": int, "activation": Literal["relu", "gelu"], "norm_first": bool},
    reach="mixing.encoder_layer",
    scratch=layer_scratch,
)
def encoder_layer(spec: OpSpec) -> Cost:
    """Fused transformer encoder layer: multi-head attention + 2·B·L·D·F MACs, two norms, two residual sums.

    Attributes: as for `mha`, plus ffn F, activation, norm_first. The count is that of the unfused layer.
    """
    b, length, d, f = spec["batch"], spec["queries"], spec["width"], spec["ffn"]
    tokens: tuple[str | int, ...] = ("B", b, "L", length)
    return cost(
        spec,
        *_multi_head(spec),
        macs("2", 2, *tokens, "D", d, "F", f, label="feed-forward"),
        flops("feed-forward bias", 1, *tokens, "F+D", f + d),
        flops(str(spec["activation"]), FLOPS[spec["activation"]], *tokens, "F", f),
        flops("layer norms", 2 * NORM_FLOPS, *tokens, "D", d),
        flops("residual sums", 2, *tokens, "D", d),
    )
