"""Count the multiply-accumulates that have no zero factor, while the model runs on real data.

A product counts if both of its factors are nonzero. If the same op ran on indicators (1 where a factor is nonzero, else
0), the sum of its result would be the exact count. That sum is computed in a cheaper order. For a matrix product it is
the sum, over the inner axis, of (nonzero left factors) times (nonzero right factors); for a convolution, the sum over
the windows of the input's indicator, weighted by the number of kernels with a nonzero weight at each tap. Padding is
zero and is not counted.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import torch

from cnncost.frontends.torch.overloads import overload
from cnncost.frontends.torch.real import RealRecorder
from cnncost.frontends.torch.weights import Weights
from cnncost.graph import OpSpec


class Kinds(NamedTuple):
    """Kinds of ops whose products are counted.

    Attributes:
        products: matrix products.
        convolutions: convolutions, transposed ones included.
        weighted: kinds whose second input is a weight; that of a product has its output features first.
    """

    products: Collection[str]
    convolutions: Collection[str]
    weighted: Collection[str]


class Active(NamedTuple):
    """Counts of one op.

    Attributes:
        products: number of products with two nonzero factors.
        spikes: whether a factor that depends on the inputs has only the elements 0 and 1, so that elements of the other
            factor are only added.
    """

    products: int
    spikes: bool


class ActivityRecorder(RealRecorder):
    """Recorder that also counts. `active` is keyed by node index; of a node that is not in it, all products count."""

    def __init__(self, weights: Weights, kinds: Kinds) -> None:
        super().__init__(weights)
        self._kinds = kinds
        self.active: dict[int, Active] = {}
        self._examined = 0  # number of leading nodes that have been examined, whether they were counted or not

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = len(self.nodes)
        result = super().__torch_dispatch__(func, types, args, kwargs)
        last = len(self.nodes) - 1
        if last == before and last >= self._examined:  # one new node, not counted as part of a composite op
            self._examined = last + 1
            self._examine(last, func, args, kwargs or {})
        return result

    def _examine(self, index: int, func: Any, args: Any, kwargs: Any) -> None:
        node, kinds = self.nodes[index], self._kinds
        kind = node.spec.kind
        if kind not in kinds.products and kind not in kinds.convolutions and kind != "attention":
            return
        op = overload(func)
        arguments = op.bind(args, kwargs)
        tensors = [value for value in arguments.values() if isinstance(value, torch.Tensor)]
        with torch.no_grad():
            products = _nonzero_products(node.spec, kinds, op.name, arguments, tensors)
        if products is None:
            return
        factors = _factors(node.spec, tensors)
        entries = [self.ledger.find(factor) for factor in factors]
        activations = [t for t, e in zip(factors, entries, strict=True) if e is not None and e.value in self._varies]
        self.active[index] = Active(products, any(map(_is_binary, activations)))


def _is_binary(tensor: torch.Tensor) -> bool:
    return bool(((tensor == 0) | (tensor == 1)).all())


def _factors(spec: OpSpec, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return the two factors; the first tensor of ops such as `addmm` is added to the product of the next two."""
    return tensors[1:3] if spec.get("addend") else tensors[:2]


def _nonzero_products(
    spec: OpSpec, kinds: Kinds, name: str, arguments: dict[str, Any], tensors: list[torch.Tensor]
) -> int | None:
    """Return the number of products without a zero factor; None for an unsupported op."""
    if any(t.layout is not torch.strided or t.is_quantized for t in tensors):
        return None
    if spec.kind in kinds.convolutions:
        return _conv_products(spec, tensors[0], tensors[1])
    if spec.kind == "attention" and name == "scaled_dot_product_attention" and not arguments.get("dropout_p"):
        return _attention_products(arguments)
    if spec.kind not in kinds.products or name == "conv_tbc":  # a convolution that is lowered to a matmul
        return None
    a, b = _factors(spec, tensors)
    if spec.kind in kinds.weighted:
        b = b.transpose(-1, -2) if b.dim() > 1 else b
    if a.shape[-1] != b.shape[-2 if b.dim() > 1 else -1]:  # a product of a kind of its own, with other axes
        return None
    return _matmul_products(a != 0, b != 0)


def _matmul_products(a: torch.Tensor, b: torch.Tensor) -> int:
    """Count the products of indicators *,M,K and *,K,N; a vector is a row on the left and a column on the right."""
    a = a[None] if a.dim() == 1 else a
    b = b[:, None] if b.dim() == 1 else b
    left, right = a.sum(-2), b.sum(-1)  # per inner index: the number of nonzero factors
    return int((left * right).sum())


def _conv_products(spec: OpSpec, x: torch.Tensor, weight: torch.Tensor) -> int | None:
    """Count; None if a float64 may not hold the number exactly. x: N,C,*X or C,*X; weight: K,C/g,*R, or C,K/g,*R."""
    axes, groups = weight.dim() - 2, spec["groups"]
    indicator, taps = (x != 0).double(), (weight != 0).double()
    if x.dim() == axes + 1:
        indicator = indicator[None]
    padding = spec["padding"]
    if isinstance(padding, str):  # "same" or "valid"; if the total is odd, torch pads one more at the end
        total = [d * (r - 1) if padding == "same" else 0 for d, r in zip(spec["dilation"], taps.shape[2:], strict=True)]
        sides = [side for n in reversed(total) for side in (n // 2, n - n // 2)]
        indicator, padding = torch.nn.functional.pad(indicator, sides), [0] * axes
    # all output channels of a group at once: the number of nonzero weights for each input channel and tap
    kernels = taps.sum(1, keepdim=True) if spec["transposed"] else taps.view(groups, -1, *taps.shape[1:]).sum(1)
    bound = indicator.numel() * float(taps.sum())
    if bound >= 2**53:  # no longer exact
        return None
    counts = torch.convolution(
        indicator, kernels, None, list(spec["stride"]), list(padding), list(spec["dilation"]), spec["transposed"],
        list(spec["output_padding"]), groups,
    )  # fmt: skip
    return round(float(counts.sum()))


def _attention_products(arguments: dict[str, Any]) -> int | None:
    """Count for the scores and for the weighted sums of values. Softmax makes every visible weight nonzero.

    None if the mask has more axes than the scores.
    """
    query, key, value = (arguments[name] != 0 for name in ("query", "key", "value"))
    mask = arguments.get("attn_mask")
    if arguments.get("enable_gqa"):
        key, value = (t.repeat_interleave(query.shape[-3] // t.shape[-3], -3) for t in (key, value))
    shape = (*torch.broadcast_shapes(query.shape[:-2], key.shape[:-2]), query.shape[-2], key.shape[-2])
    visible = torch.ones(shape[-2:], dtype=torch.bool, device=query.device)
    if arguments.get("is_causal"):
        visible = visible.tril()
    if mask is not None:
        visible = visible & (mask if mask.dtype == torch.bool else ~torch.isneginf(mask))
    if len(visible.shape) > len(shape):
        return None
    batches = torch.broadcast_shapes(shape[:-2], value.shape[:-2], visible.shape[:-2])
    weighted = _matmul_products(visible.expand(*batches, *shape[-2:]), value)
    return _matmul_products(query, key.transpose(-1, -2)) + weighted
