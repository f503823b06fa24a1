"""AlexNet: Krizhevsky, Sutskever, Hinton 2012, section 3.5, as a single tower and split over two GPUs."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypedDict, Unpack

from torch import nn

from cnncost.zoo.alexnet_layers import (
    CONVS,
    HIDDEN,
    LAST_SIDE,
    conv_layers,
    linear,
)
from cnncost.zoo.alexnet_towers import Towers
from cnncost.zoo.chain import Chain
from cnncost.zoo.width import scaled

__all__ = ["AlexNet", "alexnet", "alexnet_two_gpu"]


class Options(TypedDict, total=False):
    """Options of every builder of this module; `width` scales all hidden layers."""

    num_classes: int
    in_channels: int
    width: float
    dropout: float


def _features(in_channels: int, groups: int, width: float) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, conv in enumerate(CONVS, start=1):
        maps = scaled(conv.maps, width)
        layers |= conv_layers(number, conv, in_channels, maps, groups if conv.split else 1)
        in_channels = maps
    return nn.Sequential(layers)


def _classifier(num_classes: int, dropout: float, width: float) -> nn.Sequential:
    hidden = scaled(HIDDEN, width)
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        fc6=linear(scaled(CONVS[-1].maps, width) * LAST_SIDE**2, hidden, bias=1.0),
        relu6=nn.ReLU(),
        dropout6=nn.Dropout(dropout),
        fc7=linear(hidden, hidden, bias=1.0),
        relu7=nn.ReLU(),
        dropout7=nn.Dropout(dropout),
        fc8=linear(hidden, num_classes, bias=0.0),
    )
    return nn.Sequential(layers)


class AlexNet(Chain):
    """Five convolutions (`features`), three fully connected layers (`classifier`).

    Shapes: (N, 3, 227, 227) -> conv1 96x55x55 -> 27x27 -> conv2 256 -> 13x13 -> conv3 384, conv4 384,
    conv5 256 -> 6x6 -> 4096 -> 4096 -> (N, num_classes) logits.
    """

    def __init__(
        self,
        *,
        groups: int,
        num_classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        dropout: float = 0.5,
    ) -> None:
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            features=_features(in_channels, groups, width),
            flatten=nn.Flatten(),
            classifier=_classifier(num_classes, dropout, width),
        )
        super().__init__(parts)


def alexnet(**options: Unpack[Options]) -> AlexNet:
    """One tower, in which every map sees all maps of the layer before it: 62,378,344 parameters."""
    return AlexNet(groups=1, **options)


def alexnet_two_gpu(*, placed: bool = False, **options: Unpack[Options]) -> nn.Module:
    """The paper's network, with conv2, conv4 and conv5 split into two groups: 60,965,224 parameters.

    Args:
        placed: put each half on a GPU of its own, `cuda:0` and `cuda:1`; if False, both are on one device.
        options: see `Options`.
    """
    if placed:
        return Towers(**options)
    return AlexNet(groups=2, **options)
