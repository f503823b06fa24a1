"""Small models on which counters differ, each with its MACs derived by hand. No tool is asked for a number here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F  # as everywhere


class Case(NamedTuple):
    """A pitfall.

    Attributes:
        name: what is special.
        build: the model.
        shapes: of its inputs, a name of a dtype behind them where it isn't float32.
        macs: by hand.
        derivation: how.
        why: what goes wrong with it elsewhere.
    """

    name: str
    build: Callable[[], nn.Module]
    shapes: tuple[Any, ...]
    macs: int
    derivation: str
    why: str


class Do(nn.Module):
    """Modules by name, and a forward over them."""

    def __init__(self, forward: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self._run = forward

    def forward(self, x: Any, y: Any = None, z: Any = None) -> Any:
        given = [a for a in (x, y, z) if a is not None]
        return self._run(self, *given)


def weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape))


class OwnProduct(torch.autograd.Function):
    """A product in a Function of one's own."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return x @ w

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[None, None]:
        return None, None


def _attention(causal: bool) -> Callable[[], nn.Module]:
    return lambda: Do(lambda _, q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal))


def _checkpointed(m: Any, x: torch.Tensor) -> Any:
    from torch.utils.checkpoint import checkpoint

    return checkpoint(m.layer, x, use_reentrant=False)


def _vmapped(m: Any, x: torch.Tensor) -> Any:
    return torch.func.vmap(lambda row: row @ m.w)(x)


def _called_with(m: Any, x: torch.Tensor) -> Any:
    doubled = {name: 2 * value for name, value in m.layer.named_parameters()}
    return torch.func.functional_call(m.layer, doubled, (x,))


def _unrolled(m: Any, x: torch.Tensor) -> Any:
    state = x.new_zeros(x.shape[0], 16)
    for t in range(x.shape[1]):
        state = m.cell(x[:, t], state)
    return state


HEADS = ((2, 4, 32, 16),) * 3
TOKENS = ((2, 16, 64),)
IMAGE = ((1, 8, 10, 10),)

CASES = (
    Case("convolution without bias", lambda: nn.Conv2d(3, 16, 3, padding=1, bias=False), ((1, 3, 8, 8),),
         16 * 64 * 27, "16 kernels · 64 positions · 3·3·3", "the base line"),
    Case("convolution with bias", lambda: nn.Conv2d(3, 16, 3, padding=1), ((1, 3, 8, 8),),
         16 * 64 * 27, "as without: a bias is added, not multiplied", "biases counted as multiply-accumulates"),
    Case("grouped convolution", lambda: nn.Conv2d(8, 16, 3, groups=4, padding=1, bias=False), IMAGE,
         16 * 100 * 2 * 9, "16 kernels · 100 positions · 8/4 channels · 3·3", "groups"),
    Case("depthwise convolution", lambda: nn.Conv2d(8, 8, 3, groups=8, padding=1, bias=False), IMAGE,
         8 * 100 * 9, "8 kernels · 100 positions · 1 channel · 3·3", "groups"),
    Case("dilated convolution", lambda: nn.Conv2d(8, 4, 3, dilation=2, bias=False), IMAGE,
         4 * 36 * 72, "(10 − 4)² positions: a kernel of 3 reaches over 5", "dilation in the output's size"),
    Case("strided convolution with padding", lambda: nn.Conv2d(8, 4, 5, stride=2, padding=2, bias=False), IMAGE,
         4 * 25 * 200, "⌈10/2⌉² positions; padded zeros count", "zeros at the border"),
    Case("1-d convolution", lambda: nn.Conv1d(8, 16, 3, bias=False), ((2, 8, 12),),
         2 * 16 * 10 * 24, "2 examples · 16 kernels · 10 positions · 8·3", "axes"),
    Case("3-d convolution", lambda: nn.Conv3d(2, 4, 3, bias=False), ((1, 2, 5, 6, 7),),
         4 * 3 * 4 * 5 * 54, "4 kernels · 3·4·5 positions · 2·27", "axes"),
    Case("convolution without a batch axis", lambda: nn.Conv2d(3, 4, 3, bias=False), ((3, 8, 8),),
         4 * 36 * 27, "4 kernels · 6·6 positions · 27", "channels taken for the batch"),
    Case("functional convolution", lambda: Do(lambda m, x: F.conv2d(x, m.w), w=weight(4, 8, 3, 3)), IMAGE,
         4 * 64 * 72, "4 kernels · 8·8 positions · 8·9", "no module, no count"),
    Case("transposed convolution", lambda: nn.ConvTranspose2d(8, 4, 3, stride=2, bias=False), ((1, 8, 5, 5),),
         8 * 25 * 4 * 9, "each of 8·5·5 inputs meets 4·3·3 weights", "counted by output positions"),
    Case("transposed, one pixel", lambda: nn.ConvTranspose2d(32, 1, 3, bias=False), ((1, 32, 1, 1),),
         288, "32 inputs · 3·3 weights", "81 · 32 or 9 by output positions"),
    Case("transposed with groups", lambda: nn.ConvTranspose2d(8, 8, 3, stride=2, groups=4, bias=False),
         ((1, 8, 5, 5),),
         8 * 25 * 2 * 9, "each of 8·25 inputs meets 8/4 kernels of 3·3", "groups forgotten or applied twice"),
    Case("transposed depthwise", lambda: nn.ConvTranspose2d(8, 8, 2, stride=2, groups=8, bias=False), ((1, 8, 5, 5),),
         8 * 25 * 4, "each of 8·25 inputs meets one kernel of 2·2", "0 in some tools"),
    Case("transposed with output padding",
         lambda: nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1, bias=False), ((1, 8, 5, 5),),
         8 * 25 * 4 * 9, "the input's positions, whatever the output's size", "output positions"),
    Case("linear", lambda: nn.Linear(64, 32), ((4, 64),), 4 * 64 * 32, "4 rows · 64 · 32", "the base line"),
    Case("linear on a sequence", lambda: nn.Linear(64, 32), TOKENS,
         2 * 16 * 64 * 32, "2·16 tokens · 64 · 32", "only the first axis taken for the rows"),
    Case("a linear layer called three times", lambda: Do(lambda m, x: m.f(m.f(m.f(x))), f=nn.Linear(64, 64)),
         ((4, 64),),
         3 * 4 * 64 * 64, "each call counts", "one call, or each alias, counted"),
    Case("one layer under two names",
         lambda: Do(lambda m, x: m.a(x) + m.b(x), **dict.fromkeys("ab", nn.Linear(64, 64))), ((4, 64),),
         2 * 4 * 64 * 64, "two calls of one layer", "hooks set twice on it: four"),
    Case("a layer that is never called",
         lambda: Do(lambda m, x: m.a(x), a=nn.Linear(64, 64), b=nn.Linear(64, 640)), ((4, 64),),
         4 * 64 * 64, "what is not run costs nothing", "modules counted because they are there"),
    Case("tied weights",
         lambda: Do(lambda m, x: F.linear(m.e(x), m.e.weight), e=nn.Embedding(100, 64)), ((2, 16, "int64"),),
         32 * 64 * 100, "32 tokens · 64 · 100; looking up costs nothing", "functional code, or the lookup counted"),
    Case("x @ w", lambda: Do(lambda m, x: x @ m.w, w=weight(64, 32)), TOKENS,
         32 * 64 * 32, "32 tokens · 64 · 32", "no module, no count"),
    Case("a bare parameter times a matrix", lambda: Do(lambda m, x: m.w @ x, w=weight(8, 16)), TOKENS,
         2 * 8 * 16 * 64, "2 examples · 8 · 16 · 64", "broadcast batch of the right operand"),
    Case("a matrix times a vector", lambda: Do(lambda m, x: x @ m.w, w=weight(64)), ((4, 64),),
         4 * 64, "4 rows · 64", "mv has no formula"),
    Case("torch.addmm", lambda: Do(lambda m, x: torch.addmm(m.b, x, m.w), w=weight(64, 32), b=weight(32)), ((4, 64),),
         4 * 64 * 32, "the addend is no product", "no module"),
    Case("torch.baddbmm", lambda: Do(lambda _, c, a, b: torch.baddbmm(c, a, b)), ((3, 4, 6), (3, 4, 5), (3, 5, 6)),
         3 * 4 * 5 * 6, "3 products of 4·5 by 5·6", "no module"),
    Case("einsum: a product", lambda: Do(lambda m, x: torch.einsum("btc,cd->btd", x, m.w), w=weight(64, 32)), TOKENS,
         32 * 64 * 32, "32 tokens · 64 · 32", "einsum not known"),
    Case("einsum: attention scores", lambda: Do(lambda _, q, k: torch.einsum("bhld,bhsd->bhls", q, k)), HEADS[:2],
         8 * 32 * 32 * 16, "2·4 heads · 32 · 32 · 16", "einsum not known"),
    Case("einsum: an outer product", lambda: Do(lambda _, a, b: torch.einsum("i,j->ij", a, b)), ((5,), (7,)),
         0, "nothing is summed: 35 multiplications, no accumulation", "each multiplication called a MAC"),
    Case("bilinear", lambda: nn.Bilinear(8, 6, 4, bias=False), ((3, 8), (3, 6)),
         3 * 4 * (8 * 6 + 6), "3 rows · 4 outputs · (8·6 for xᵀW, 6 for ·y)", "counted as linear, or not"),
    Case("attention, fused", _attention(False), HEADS,
         2 * 8 * 32 * 32 * 16, "scores and weighted values: 2 · 8 heads · 32·32 · 16", "0 on some devices"),
    Case("attention, causal", _attention(True), HEADS,
         2 * 8 * 32 * 32 * 16, "the dense count; kernels skip by blocks of their own", "half, or none"),
    Case("attention, cross", _attention(False), ((2, 4, 8, 16), (2, 4, 32, 16), (2, 4, 32, 16)),
         2 * 8 * 8 * 32 * 16, "8 queries meet 32 keys", "queries taken for keys"),
    Case("attention, grouped queries",
         lambda: Do(lambda _, q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True)),
         ((2, 8, 32, 16), (2, 2, 32, 16), (2, 2, 32, 16)),
         2 * 16 * 32 * 32 * 16, "8 heads of queries, whatever the keys have", "2 heads"),
    Case("attention, written out", lambda: Do(lambda _, q, k, v: (q @ k.mT / 4).softmax(-1) @ v), HEADS,
         2 * 8 * 32 * 32 * 16, "the same two products", "matmuls not seen"),
    Case("nn.MultiheadAttention",
         lambda: Do(lambda m, x: m.a(x, x, x, need_weights=False)[0], a=nn.MultiheadAttention(64, 4, batch_first=True)),
         TOKENS, 4 * 32 * 64 * 64 + 2 * 2 * 16 * 16 * 64, "four projections and two products",
         "0, or without the products"),
    Case("nn.TransformerEncoderLayer", lambda: nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), TOKENS,
         32 * (4 * 64 * 64 + 2 * 64 * 128) + 2 * 2 * 16 * 16 * 64,
         "attention, and two layers of 64·128; the same on torch's fused path", "the fused path hides all of it"),
    Case("nn.TransformerDecoderLayer", lambda: nn.TransformerDecoderLayer(64, 4, 128, batch_first=True),
         ((2, 16, 64), (2, 8, 64)),
         32 * (6 * 64 * 64 + 2 * 64 * 128) + 16 * 2 * 64 * 64 + 2 * (2 * 16 * 16 * 64 + 2 * 16 * 8 * 64),
         "self attention 4 projections, cross attention 2 of the tokens and 2 of the memory", "cross attention"),
    Case("LSTM", lambda: nn.LSTM(16, 32), ((5, 1, 16),),
         5 * 4 * 32 * (16 + 32), "5 steps · 4 gates · 32 · (16 + 32)", "steps or gates forgotten"),
    Case("LSTM, two layers, both directions", lambda: nn.LSTM(32, 64, 2, bidirectional=True), ((10, 1, 32),),
         10 * 2 * 4 * 64 * (32 + 64) + 10 * 2 * 4 * 64 * (128 + 64),
         "the second layer takes 2·64 features", "its input taken to be 64 wide"),
    Case("LSTM with a projection", lambda: nn.LSTM(16, 32, proj_size=8), ((5, 1, 16),),
         5 * (4 * 32 * (16 + 8) + 32 * 8), "the state is 8 wide, and made of 32", "proj_size ignored"),
    Case("GRU", lambda: nn.GRU(16, 32, batch_first=True), ((2, 5, 16),),
         2 * 5 * 3 * 32 * (16 + 32), "2·5 steps · 3 gates · 32 · 48", "gates"),
    Case("a cell in a loop", lambda: Do(_unrolled, cell=nn.GRUCell(16, 16)), ((2, 5, 16),),
         2 * 5 * 3 * 16 * (16 + 16), "5 calls of the cell", "cells have no rule, or one call is counted"),
    Case("batch norm", lambda: nn.BatchNorm2d(8), IMAGE,
         0, "no product is summed: its work is FLOPs", "counted as MACs"),
    Case("layer norm", lambda: nn.LayerNorm(64), TOKENS, 0, "as batch norm", "counted as MACs"),
    Case("softmax, GELU, pooling",
         lambda: nn.Sequential(nn.GELU(), nn.AvgPool2d(2), nn.Softmax(1)), IMAGE, 0, "FLOPs alone", "counted as MACs"),
    Case("an upsampled image", lambda: nn.Upsample(scale_factor=2, mode="bilinear"), IMAGE,
         0, "weighted sums of four: FLOPs alone", "counted as MACs"),
    Case("pixel shuffle after a convolution",
         lambda: nn.Sequential(nn.Conv2d(8, 16, 3, padding=1, bias=False), nn.PixelShuffle(2)), IMAGE,
         16 * 100 * 72, "the convolution; shuffling moves", "none, as a rule"),
    Case("a weight-normed convolution",
         lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 4, 3, bias=False)), IMAGE,
         4 * 64 * 72, "the convolution; norms are FLOPs", "the parametrization breaks hooks"),
    Case("a Function of one's own", lambda: Do(lambda m, x: OwnProduct.apply(x, m.w), w=weight(64, 32)), ((4, 64),),
         4 * 64 * 32, "the product in it", "traces stop at the Function"),
    Case("checkpointing", lambda: Do(_checkpointed, layer=nn.Linear(64, 64)), ((4, 64),),
         4 * 64 * 64, "forward runs once", "forward counted twice, or hooks lost"),
    Case("vmap", lambda: Do(_vmapped, w=weight(64, 32)), ((4, 64),), 4 * 64 * 32, "4 rows · 64 · 32", "tracing fails"),
    Case("functional_call", lambda: Do(_called_with, layer=nn.Linear(64, 32)), ((4, 64),),
         4 * 64 * 32, "the layer with other weights", "parameters not found"),
    Case("complex numbers", lambda: Do(lambda m, x: torch.fft.rfft(x) @ m.w,
         w=nn.Parameter(torch.randn(33, 8, dtype=torch.complex64))), ((4, 64),),
         4 * (4 * 33 * 8), "a complex product with its sum is four real ones; the transform is FLOPs",
         "complex dtypes fail"),
    Case("half precision", lambda: nn.Linear(64, 32).bfloat16(), ((4, 64, "bfloat16"),),
         4 * 64 * 32, "as in float32", "inputs made in float32"),
    Case("a dict of tensors as the result",
         lambda: Do(lambda m, x: {"a": m.f(x), "b": [m.f(x)]}, f=nn.Linear(64, 32)), ((4, 64),),
         2 * 4 * 64 * 32, "two calls", "outputs that are no tensor"),
    Case("a linear layer on no rows", lambda: Do(lambda m, x: m.f(x[:0]), f=nn.Linear(64, 32)), ((4, 64),),
         0, "no rows", "a division by zero"),
)  # fmt: skip


def inputs_of(case: Case) -> tuple[torch.Tensor, ...]:
    """Tensors with values, as other tools want them."""
    return tuple(_tensor(shape) for shape in case.shapes)


def _tensor(shape: tuple[Any, ...]) -> torch.Tensor:
    if shape[-1] == "int64":
        return torch.zeros(shape[:-1], dtype=torch.int64)
    if isinstance(shape[-1], str):
        return torch.rand(shape[:-1]).to(getattr(torch, shape[-1]))
    return torch.rand(shape)
