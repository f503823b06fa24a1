"""The figures of ten networks on the torch at hand, as JSON: what must not hang on its version.

    python tests/versions/figures.py

The networks are the zoo's and torch's own layers, so that nothing but torch is needed: convolutions, a recurrent
network of each kind, attention with and without a batch, and a transformer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[2]))

import cnncost
from tests.networks import MobileNetV2


class Last(nn.Module):
    """What a recurrent network says at its last step. N,T,C → N,K."""

    def __init__(self, recurrent: nn.Module, width: int) -> None:
        super().__init__()
        self.recurrent, self.head = recurrent, nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: N,T,C."""
        return self.head(self.recurrent(x)[0][:, -1])


class OfOneImage(nn.Module):
    """Attention over the places of one image, without a batch; one head of keys and values. T,C → T,C."""

    def __init__(self, width: int = 64, heads: int = 4) -> None:
        super().__init__()
        self.heads, each = heads, width // heads
        self.queries, self.keys, self.values = nn.Linear(width, width), nn.Linear(width, each), nn.Linear(width, each)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: T,C."""
        q = self.queries(x).unflatten(-1, (self.heads, -1)).transpose(0, 1)
        k, v = self.keys(x)[None], self.values(x)[None]
        return F.scaled_dot_product_attention(q, k, v).transpose(0, 1).flatten(1)


def _encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(64, 4, 256, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


NETWORKS: dict[str, tuple[str | Callable[[], nn.Module], Any]] = {
    "LeNet-5": ("lenet5", (8, 1, 32, 32)),
    "AlexNet": ("alexnet", (8, 3, 227, 227)),
    "VGG-16": ("vgg16", (2, 3, 224, 224)),
    "ResNet-18": ("resnet18", (4, 3, 224, 224)),
    "ResNet-50": ("resnet50", (4, 3, 224, 224)),
    "MobileNetV2": (MobileNetV2, (4, 3, 224, 224)),
    "LSTM of two layers": (lambda: Last(nn.LSTM(32, 64, 2, batch_first=True), 64), (8, 20, 32)),
    "GRU in both directions": (lambda: Last(nn.GRU(32, 64, bidirectional=True, batch_first=True), 128), (8, 20, 32)),
    "Transformer encoder": (_encoder, (8, 50, 64)),
    "attention without a batch": (OfOneImage, (196, 64)),
}
"""By name: a network, and the shape of its input."""
FIGURES = ("params", "macs", "flops", "inference_peak", "training_peak")
"""Parameters; MACs and FLOPs of inference; bytes at the peaks of inference and of a step of training."""


def figures(name: str) -> dict[str, int]:
    """Each figure of a network."""
    model, shape = NETWORKS[name]
    given = model if isinstance(model, str) else model()
    report = cnncost.analyze(given, shape)
    trained = cnncost.analyze(given, shape, training=True)
    totals = report.totals
    values = (totals.params, totals.macs, totals.flops, report.memory.inference_peak, trained.memory.training_peak)
    return dict(zip(FIGURES, values, strict=True))


def main() -> None:
    """Print them."""
    torch.manual_seed(0)
    print(json.dumps({name: figures(name) for name in NETWORKS}))


if __name__ == "__main__":
    main()
