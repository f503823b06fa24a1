"""AlexNet: Krizhevsky, Sutskever, Hinton 2012, section 3.5, as a single tower and as split over two GPUs."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypedDict, Unpack

from torch import nn

from cnncost.zoo.chain import Chain
from cnncost.zoo.width import scaled

__all__ = ["AlexNet", "alexnet", "alexnet_two_gpu"]


class Options(TypedDict, total=False):
    """Options of every builder of this module; `width` scales all hidden layers."""

    num_classes: int
    in_channels: int
    width: float
    dropout: float


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution of the paper's figure 2, with the layers after it.

    `split`: on two GPUs, each half of its maps sees only the half on its own GPU.
    `bias`: initial value of its biases (section 5).
    """

    maps: int
    kernel: int
    stride: int = 1
    padding: int = 0
    split: bool = False
    norm: bool = False
    pool: bool = False
    bias: float = 0.0


CONVS = (
    Conv(96, 11, stride=4, norm=True, pool=True),
    Conv(256, 5, padding=2, split=True, norm=True, pool=True, bias=1.0),
    Conv(384, 3, padding=1),
    Conv(384, 3, padding=1, split=True, bias=1.0),
    Conv(256, 3, padding=1, split=True, pool=True, bias=1.0),
)
HIDDEN = 4096
LAST_SIDE = 6


def response_norm() -> nn.LocalResponseNorm:
    """Section 3.3: n = 5, k = 2, alpha = 1e-4, beta = 0.75.

    torch averages over the n neighbours where the paper sums, hence its alpha is n times the paper's.
    """
    return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)


def _draw_initial_weights(layer: nn.Conv2d | nn.Linear, *, bias: float) -> None:
    """Section 5: weights from a Gaussian of standard deviation 0.01, biases 0, or 1 to start ReLUs active."""
    weights, biases = layer.parameters()
    nn.init.normal_(weights, std=0.01)
    nn.init.constant_(biases, bias)


def _features(in_channels: int, groups: int, width: float) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, conv in enumerate(CONVS, start=1):
        maps = scaled(conv.maps, width)
        split = groups if conv.split else 1
        convolution = nn.Conv2d(in_channels, maps, conv.kernel, conv.stride, conv.padding, groups=split)
        _draw_initial_weights(convolution, bias=conv.bias)
        layers[f"conv{number}"] = convolution
        layers[f"relu{number}"] = nn.ReLU()
        if conv.norm:
            layers[f"norm{number}"] = response_norm()
        if conv.pool:
            layers[f"pool{number}"] = nn.MaxPool2d(3, stride=2)
        in_channels = maps
    return nn.Sequential(layers)


def _linear(n_in: int, n_out: int, *, bias: float) -> nn.Linear:
    layer = nn.Linear(n_in, n_out)
    _draw_initial_weights(layer, bias=bias)
    return layer


def _classifier(num_classes: int, dropout: float, width: float) -> nn.Sequential:
    hidden = scaled(HIDDEN, width)
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        fc6=_linear(scaled(CONVS[-1].maps, width) * LAST_SIDE**2, hidden, bias=1.0),
        relu6=nn.ReLU(),
        dropout6=nn.Dropout(dropout),
        fc7=_linear(hidden, hidden, bias=1.0),
        relu7=nn.ReLU(),
        dropout7=nn.Dropout(dropout),
        fc8=_linear(hidden, num_classes, bias=0.0),
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
    """One tower, every map sees all maps before it: 62,378,344 parameters."""
    return AlexNet(groups=1, **options)


def alexnet_two_gpu(**options: Unpack[Options]) -> AlexNet:
    """The paper's network: conv2, conv4 and conv5 split in two groups. 60,965,224 parameters."""
    return AlexNet(groups=2, **options)
