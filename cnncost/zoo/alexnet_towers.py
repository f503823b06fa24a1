"""AlexNet on its two GPUs: Krizhevsky, Sutskever, Hinton 2012, section 3.2 and figure 2."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from cnncost.zoo.alexnet_layers import (
    CONVS,
    HIDDEN,
    LAST_SIDE,
    Conv,
    conv_layers,
    linear,
)
from cnncost.zoo.width import scaled

__all__ = ["GPUS", "Towers"]

GPUS = ("cuda:0", "cuda:1")
_SPLIT_CONVS = 2
"""Number of convolutions before conv3, the first one that sees the maps of both GPUs."""


class Exchange(nn.Module):
    """Sends each GPU's half to the other GPU, so that the next layer sees all maps or neurons."""

    def __init__(self, devices: Sequence[str]) -> None:
        super().__init__()
        self.devices = tuple(devices)

    def forward(self, halves: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the concatenated halves, once on each device."""
        return [torch.cat([half.to(device) for half in halves], 1) for device in self.devices]


class Towers(nn.Module):
    """Half of each layer's maps and neurons on each GPU; the last layer is on the first GPU.

    Shapes: (N, 3, 227, 227) -> on each GPU: conv1 48x55x55 -> conv2 128x27x27 -> 13x13; all 256 maps -> conv3
    192x13x13, conv4 192, conv5 128 -> 6x6; all 256 maps -> fc6 2048; all 4096 -> fc7 2048; all 4096 -> (N, num_classes)
    logits on the first GPU.
    """

    def __init__(
        self,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        dropout: float = 0.5,
        devices: Sequence[str] = GPUS,
    ) -> None:
        super().__init__()
        hidden = scaled(HIDDEN, width)
        pixels = scaled(CONVS[-1].maps, width) * LAST_SIDE**2
        self.devices = tuple(devices)
        self.before = nn.ModuleList(_convs(1, CONVS[:_SPLIT_CONVS], in_channels, width).to(d) for d in devices)
        self.exchange3 = Exchange(devices)
        between = scaled(CONVS[_SPLIT_CONVS - 1].maps, width)
        self.after = nn.ModuleList(
            _convs(_SPLIT_CONVS + 1, CONVS[_SPLIT_CONVS:], between, width).to(d) for d in devices
        )
        self.exchange6 = Exchange(devices)
        self.fc6 = nn.ModuleList(_hidden(pixels, hidden // 2, dropout).to(d) for d in devices)
        self.exchange7 = Exchange(devices)
        self.fc7 = nn.ModuleList(_hidden(hidden, hidden // 2, dropout).to(d) for d in devices)
        self.exchange8 = Exchange(devices[:1])
        self.fc8 = linear(hidden, num_classes, bias=0.0).to(devices[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits on the first GPU; the images are copied to both GPUs."""
        halves = [tower(x.to(device)) for tower, device in zip(self.before, self.devices, strict=True)]
        for exchange, layers in (
            (self.exchange3, self.after), (self.exchange6, self.fc6), (self.exchange7, self.fc7),
        ):  # fmt: skip
            halves = [layer(both) for layer, both in zip(layers, exchange(halves), strict=True)]
        (both,) = self.exchange8(halves)
        logits: torch.Tensor = self.fc8(both)
        return logits


def _convs(first: int, convs: Sequence[Conv], in_channels: int, width: float) -> nn.Sequential:
    """One GPU's half of some convolutions, each with the layers after it; a flatten follows the last convolution."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, conv in enumerate(convs, start=first):
        maps = scaled(conv.maps, width) // 2
        layers |= conv_layers(number, conv, in_channels, maps)
        in_channels = maps
    if first + len(convs) > len(CONVS):
        layers["flatten"] = nn.Flatten()
    return nn.Sequential(layers)


def _hidden(n_in: int, n_out: int, dropout: float) -> nn.Sequential:
    """One GPU's half of a hidden layer."""
    return nn.Sequential(OrderedDict(fc=linear(n_in, n_out, bias=1.0), relu=nn.ReLU(), dropout=nn.Dropout(dropout)))
