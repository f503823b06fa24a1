"""AlexNet's layers: Krizhevsky, Sutskever, Hinton 2012, section 3.5 and figure 2."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution of the paper's figure 2, and which layers follow it.

    `split`: on two GPUs, each half of the maps sees only the input maps on its own GPU.
    `bias`: initial value of the biases (section 5).
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
"""Number of neurons of fc6, and of fc7."""
LAST_SIDE = 6
"""Height and width of the maps after the last pooling."""


def response_norm() -> nn.LocalResponseNorm:
    """Section 3.3: n = 5, k = 2, alpha = 1e-4, beta = 0.75.

    torch averages over the n neighbours, whereas the paper sums; hence torch's alpha is n times the paper's.
    """
    return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)


def draw_initial_weights(layer: nn.Conv2d | nn.Linear, *, bias: float) -> None:
    """Section 5: weights from a Gaussian with standard deviation 0.01; biases 0, or 1 to start with active ReLUs."""
    weights, biases = layer.parameters()
    nn.init.normal_(weights, std=0.01)
    nn.init.constant_(biases, bias)


def conv_layers(number: int, conv: Conv, in_channels: int, maps: int, groups: int = 1) -> dict[str, nn.Module]:
    """A convolution and the layers after it, by name; `number` is the convolution's number in the paper, from 1."""
    convolution = nn.Conv2d(in_channels, maps, conv.kernel, conv.stride, conv.padding, groups=groups)
    draw_initial_weights(convolution, bias=conv.bias)
    layers: dict[str, nn.Module] = {f"conv{number}": convolution, f"relu{number}": nn.ReLU()}
    if conv.norm:
        layers[f"norm{number}"] = response_norm()
    if conv.pool:
        layers[f"pool{number}"] = nn.MaxPool2d(3, stride=2)
    return layers


def linear(n_in: int, n_out: int, *, bias: float) -> nn.Linear:
    """A fully connected layer with the paper's initial weights."""
    layer = nn.Linear(n_in, n_out)
    draw_initial_weights(layer, bias=bias)
    return layer
