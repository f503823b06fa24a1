"""MobileNet: Howard et al. 2017 (arXiv 1704.04861), table 1."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypedDict, Unpack

from torch import nn

from cnncost.zoo.chain import Chain
from cnncost.zoo.width import scaled

__all__ = ["MobileNet", "mobilenet"]


class Options(TypedDict, total=False):
    """Options of the builder; `width` is the paper's width multiplier α."""

    num_classes: int
    in_channels: int
    width: float


FIRST_MAPS = 32
BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip
"""Maps and stride of each depthwise separable convolution."""


def _convolution(in_maps: int, maps: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution without bias, then batch norm and ReLU (section 3.2, figure 3)."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(in_maps, maps, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        bn=nn.BatchNorm2d(maps),
        relu=nn.ReLU(),
    )
    return nn.Sequential(layers)


class MobileNet(Chain):
    """A convolution and 13 depthwise separable convolutions (`features`), a spatial mean, and a linear layer.

    Shapes: (N, 3, 224, 224) -> 32x112x112 -> 64x112x112 -> 128x56x56 -> 256x28x28 -> 512x14x14 -> 1024x7x7
    -> (N, num_classes) logits. Inputs of other sizes, 32x32 and more, work as well.
    """

    def __init__(self, *, num_classes: int = 1000, in_channels: int = 3, width: float = 1.0) -> None:
        maps = scaled(FIRST_MAPS, width)
        features: OrderedDict[str, nn.Module] = OrderedDict(conv1=_convolution(in_channels, maps, 3, stride=2))
        for number, (unscaled, stride) in enumerate(BLOCKS, start=1):
            out_maps = scaled(unscaled, width)
            features[f"depthwise{number}"] = _convolution(maps, maps, 3, stride, groups=maps)
            features[f"pointwise{number}"] = _convolution(maps, out_maps, 1)
            maps = out_maps
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            features=nn.Sequential(features),
            avgpool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            fc=nn.Linear(maps, num_classes),
        )
        super().__init__(parts)


def mobilenet(**options: Unpack[Options]) -> MobileNet:
    """1.0 MobileNet-224: 4,231,976 parameters."""
    return MobileNet(**options)
