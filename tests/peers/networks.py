"""The networks on which tools are timed: built once, with weights, in eval mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F  # as everywhere


class Network(NamedTuple):
    """A network and its inputs."""

    name: str
    build: Callable[[], nn.Module]
    inputs: tuple[tuple[Any, ...], ...]


class Block(nn.Module):
    """A transformer block of GPT-2 (Radford et al. 2019), the norm before each part."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        parts = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(batch, length, width)
        x = x + self.out(mixed)
        return x + self.mlp(self.norm2(x))


class Decoder(nn.Module):
    """A decoder of GPT-2's size: 12 blocks, 768 wide, 12 heads, its head tied to its embedding."""

    def __init__(self, words: int = 50257, width: int = 768, blocks: int = 12) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(1024, width)
        self.blocks = nn.Sequential(*(Block(width, 12) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.words(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        return F.linear(self.norm(self.blocks(x)), self.words.weight)


def _torchvision(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from torchvision.models import get_model

        return get_model(name, weights=None)

    return build


IMAGE = ((1, 3, 224, 224),)
NETWORKS = (
    *(Network(name, _torchvision(name), IMAGE)
      for name in ("resnet50", "resnet152", "vgg19", "vit_b_16", "densenet201", "efficientnet_b0")),
    Network("LSTM 2×512", lambda: nn.LSTM(256, 512, 2, batch_first=True), ((8, 64, 256),)),
    Network("GPT-2-size decoder", Decoder, ((1, 128, "int64"),)),
)  # fmt: skip
