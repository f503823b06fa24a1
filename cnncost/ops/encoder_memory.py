"""Memory of torch's fused CPU kernels for multi-head attention and whole encoder layers.

Ref: `native_multi_head_attention_cpu` and `transformer_encoder_layer_forward` in ATen's native/transformers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from cnncost.errors import GraphError
from cnncost.graph import ITEM_BYTES, FusedNodes, OpSpec


class SelfAttention(NamedTuple):
    """Sizes of multi-head self-attention.

    Attributes:
        batch, length, width, heads: B, L, D and H of an input B,L,D.
        item: bytes per element.
        masked: bytes of the boolean copy of the mask, 0 for a boolean mask; None without a mask.
        weights: whether the attention weights are returned; average: whether they are averaged over heads.
    """

    batch: int
    length: int
    width: int
    heads: int
    item: int
    masked: int | None = None
    weights: bool = False
    average: bool = False

    @property
    def tokens(self) -> int:
        """Bytes of a tensor of the input's shape and dtype."""
        return self.batch * self.length * self.width * self.item

    @property
    def scores(self) -> int:
        """Bytes of the scores of all heads."""
        return self.batch * self.heads * self.length**2 * self.item


def attention_moments(sizes: SelfAttention) -> tuple[int, ...]:
    """Return the bytes that the kernel holds at each moment of interest, including its result but not its inputs.

    Queries, keys and values are alive until the end: first together with the product that they are split from, then
    with the scores, last with the weighted values in the input's layout and their projection. (The weighted values are
    first written over the queries, so they need no memory of their own until they are copied to that layout.) If
    weights are returned, the scores, too, are alive until the end. With `average`, their mean over heads is allocated
    next to the projection, after the weighted values are freed. A masked softmax allocates a second tensor of scores
    and converts the mask to bool; without a mask it works in place.
    """
    tokens, scores = sizes.tokens, sizes.scores
    split = 3 * tokens  # queries, keys and values
    product = 3 * tokens
    softmax = scores if sizes.masked is None else 2 * scores + sizes.masked
    kept = split + (scores if sizes.weights else 0)
    weighted, projection, mean = tokens, tokens, scores // sizes.heads
    moments = (product + split, split + softmax, kept + weighted + projection)
    return (*moments, kept + projection + mean) if sizes.average else moments


def layer_moments(sizes: SelfAttention, ffn: int, norm_first: bool) -> tuple[int, ...]:
    """Return the bytes that an encoder layer's kernel holds, like `attention_moments`.

    The last moment is within the feed-forward network: its input (held for the residual), its hidden activations and
    its result are alive.

    Args:
        sizes: sizes of the layer's attention.
        ffn: width F of the feed-forward network, whose activation function works in place.
        norm_first: whether norms precede attention and feed-forward network, so that the normed input is held, too.
    """
    residual = result = sizes.tokens
    hidden = sizes.batch * sizes.length * ffn * sizes.item
    normed = sizes.tokens if norm_first else 0
    return (*[normed + moment for moment in attention_moments(sizes)], normed + residual + hidden + result)


def fused_moments(fused: FusedNodes) -> tuple[int, ...]:
    """Return the bytes that a kernel holds at each moment of interest, including its result but not its inputs.

    `fused.sizes` has the attributes of SelfAttention, for a `layer` also the arguments of `layer_moments`, and
    `converted`: bytes of the floating-point copies of boolean masks that torch makes before it calls the kernel, and of
    the sum of two masks. (`masked` is the boolean copy that the kernel makes for its softmax.)

    Raises:
        GraphError: the kernel is neither `attention` nor `layer`, or a size is missing or unknown.
    """
    sizes: dict[str, Any] = dict(fused.sizes)
    try:
        converted = sizes.pop("converted")
        if fused.kernel == "layer":
            ffn, norm_first = sizes.pop("ffn"), sizes.pop("norm_first")
            return tuple([converted + n for n in layer_moments(SelfAttention(**sizes), ffn, norm_first)])
        if fused.kernel == "attention":
            return tuple([converted + n for n in attention_moments(SelfAttention(**sizes))])
    except (KeyError, TypeError) as error:
        raise GraphError(f"fused nodes {fused.first} to {fused.last}: sizes of {fused.kernel}: {error}") from error
    raise GraphError(f"fused nodes {fused.first} to {fused.last}: expected attention or layer, got {fused.kernel}")


def attention_scratch(spec: OpSpec) -> int:
    """Temporary bytes of an op of kind `mha`."""
    return _beyond_result(spec, max(attention_moments(_sizes(spec))))


def layer_scratch(spec: OpSpec) -> int:
    """Temporary bytes of an op of kind `encoder_layer`."""
    return _beyond_result(spec, max(layer_moments(_sizes(spec), spec["ffn"], spec["norm_first"])))


def _beyond_result(spec: OpSpec, nbytes: int) -> int:
    return max(nbytes - sum(output.nbytes for output in spec.outputs), 0)


def _sizes(spec: OpSpec) -> SelfAttention:
    batch, length, heads, keys = spec["batch"], spec["queries"], spec["heads"], spec["keys"]
    masked = None
    if spec["mask"]:
        elements_by_type = {0: length * keys, 1: batch * keys}  # other masks: for each head of each example
        copied = spec.inputs[-1].dtype != "bool"
        masked = elements_by_type.get(spec["mask_type"], batch * heads * length * keys) if copied else 0
    return SelfAttention(
        batch, length, spec["width"], heads, ITEM_BYTES[spec.inputs[0].dtype], masked, spec["weights"], spec["average"]
    )
