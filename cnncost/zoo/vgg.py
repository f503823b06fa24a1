"""VGG: Simonyan, Zisserman 2015 (arXiv 1409.1556), table 1, columns A, A-LRN, B, C, D, E."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypedDict, Unpack

from torch import nn

from cnncost.zoo.alexnet_layers import response_norm
from cnncost.zoo.chain import Chain
from cnncost.zoo.width import scaled

__all__ = ["VGG", "vgg11", "vgg11_lrn", "vgg13", "vgg16", "vgg16_c", "vgg19"]


class Options(TypedDict, total=False):
    """Options of every builder of this module; `width` scales all hidden layers."""

    num_classes: int
    in_channels: int
    width: float
    dropout: float


# As printed in the table: "conv<kernel>-<maps>", one tuple per block; each block ends with a maxpool.
CONFIGURATIONS: dict[str, tuple[tuple[str, ...], ...]] = {
    "A": (
        ("conv3-64",),
        ("conv3-128",),
        ("conv3-256",) * 2,
        ("conv3-512",) * 2,
        ("conv3-512",) * 2,
    ),
    "A-LRN": (
        ("conv3-64", "LRN"),
        ("conv3-128",),
        ("conv3-256",) * 2,
        ("conv3-512",) * 2,
        ("conv3-512",) * 2,
    ),
    "B": (
        ("conv3-64",) * 2,
        ("conv3-128",) * 2,
        ("conv3-256",) * 2,
        ("conv3-512",) * 2,
        ("conv3-512",) * 2,
    ),
    "C": (
        ("conv3-64",) * 2,
        ("conv3-128",) * 2,
        ("conv3-256", "conv3-256", "conv1-256"),
        ("conv3-512", "conv3-512", "conv1-512"),
        ("conv3-512", "conv3-512", "conv1-512"),
    ),
    "D": (
        ("conv3-64",) * 2,
        ("conv3-128",) * 2,
        ("conv3-256",) * 3,
        ("conv3-512",) * 3,
        ("conv3-512",) * 3,
    ),
    "E": (
        ("conv3-64",) * 2,
        ("conv3-128",) * 2,
        ("conv3-256",) * 4,
        ("conv3-512",) * 4,
        ("conv3-512",) * 4,
    ),
}
HIDDEN = 4096
LAST_MAPS, LAST_SIDE = 512, 7


def _convolution(item: str, in_channels: int, width: float) -> nn.Conv2d:
    """The convolution for an item such as "conv3-64"; padding preserves the size of the maps."""
    kernel, maps = (int(number) for number in item.removeprefix("conv").split("-"))
    return nn.Conv2d(in_channels, scaled(maps, width), kernel, padding=kernel // 2)


def _features(configuration: str, in_channels: int, width: float) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for block, items in enumerate(CONFIGURATIONS[configuration], start=1):
        for number, item in enumerate(items, start=1):
            if item == "LRN":
                layers[f"norm{block}"] = response_norm()  # section 2.1: "parameters are those of" AlexNet
                continue
            convolution = _convolution(item, in_channels, width)
            layers[f"conv{block}_{number}"] = convolution
            layers[f"relu{block}_{number}"] = nn.ReLU()
            in_channels = convolution.out_channels
        layers[f"pool{block}"] = nn.MaxPool2d(2)
    return nn.Sequential(layers)


def _classifier(num_classes: int, dropout: float, width: float) -> nn.Sequential:
    hidden = scaled(HIDDEN, width)
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        fc6=nn.Linear(scaled(LAST_MAPS, width) * LAST_SIDE**2, hidden),
        relu6=nn.ReLU(),
        dropout6=nn.Dropout(dropout),
        fc7=nn.Linear(hidden, hidden),
        relu7=nn.ReLU(),
        dropout7=nn.Dropout(dropout),
        fc8=nn.Linear(hidden, num_classes),
    )
    return nn.Sequential(layers)


class VGG(Chain):
    """Five blocks of convolutions (`features`) and three fully connected layers (`classifier`).

    Shapes: (N, 3, 224, 224) -> 64x112x112 -> 128x56x56 -> 256x28x28 -> 512x14x14 -> 512x7x7 -> 4096 -> 4096
    -> (N, num_classes) logits.
    Initial weights: Glorot and Bengio's, named in footnote 1 of section 3.1 as the alternative to
    pre-training; biases are 0.
    """

    def __init__(
        self,
        configuration: str,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        dropout: float = 0.5,
    ) -> None:
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            features=_features(configuration, in_channels, width),
            flatten=nn.Flatten(),
            classifier=_classifier(num_classes, dropout, width),
        )
        super().__init__(parts)
        for name, parameter in self.named_parameters():
            if name.endswith("weight"):
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.zeros_(parameter)


def vgg11(**options: Unpack[Options]) -> VGG:
    """Configuration A: 132,863,336 parameters."""
    return VGG("A", **options)


def vgg11_lrn(**options: Unpack[Options]) -> VGG:
    """Configuration A-LRN: A with response normalisation, which has no parameters, after conv1_1."""
    return VGG("A-LRN", **options)


def vgg13(**options: Unpack[Options]) -> VGG:
    """Configuration B: 133,047,848 parameters."""
    return VGG("B", **options)


def vgg16_c(**options: Unpack[Options]) -> VGG:
    """Configuration C, 16 layers, three of them 1x1 convolutions: 133,638,952 parameters."""
    return VGG("C", **options)


def vgg16(**options: Unpack[Options]) -> VGG:
    """Configuration D: 138,357,544 parameters."""
    return VGG("D", **options)


def vgg19(**options: Unpack[Options]) -> VGG:
    """Configuration E: 143,667,240 parameters."""
    return VGG("E", **options)
