"""Experiments on single layers: sizes, parameters, and computed values."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnncost.analysis import analyze
from cnncost.lecture.experiments.registry import experiment
from cnncost.lecture.values import Measured

__all__ = [
    "biases_are_few",
    "channels_are_summed",
    "conv_formula",
    "conv_params",
    "conv_side",
    "larger_images",
    "linear_formula",
    "linear_params",
    "neuron_macs",
    "padded_side",
    "pool_picks_maxima",
    "pooled_side",
    "weights_per_pair",
]


def _count(layer: nn.Module) -> int:
    return sum(parameter.numel() for parameter in layer.parameters())


def _conv(out: int, kernel: int, channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out, kernel, device="meta")


def _image(side: int) -> Tensor:
    return torch.empty(1, 1, side, side, device="meta")


def _side(maps: Tensor) -> Measured:
    height, width = maps.shape[2:]
    assert height == width  # all images here are square
    return Measured(height)


def _random(*shape: int) -> Tensor:
    """Return a random tensor from a separate generator, which leaves the user's random state unchanged."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(909), dtype=torch.float64)


@experiment("output of a Conv2d")
def conv_side(side: int, kernel: int, stride: int, padding: int) -> Measured:
    """Side of a convolution's output map for a square image."""
    return _side(nn.Conv2d(1, 1, kernel, stride, padding, device="meta")(_image(side)))


@experiment("the zero-padded image")
def padded_side(side: int, padding: int) -> Measured:
    """Side of a square image after zero-padding."""
    return _side(F.pad(_image(side), (padding,) * 4))


@experiment("output of a MaxPool2d")
def pooled_side(side: int, kernel: int) -> Measured:
    """Side of a square map after pooling without overlap."""
    return _side(nn.MaxPool2d(kernel)(_image(side)))


@experiment("parameters of a Conv2d")
def conv_params(out: int, kernel: int, channels: int) -> Measured:
    """Number of weights and biases of a convolution."""
    return Measured(_count(_conv(out, kernel, channels)))


@experiment("parameters of a Linear")
def linear_params(out: int, inputs: int) -> Measured:
    """Number of weights and biases of a fully connected layer."""
    return Measured(_count(nn.Linear(inputs, out, device="meta")))


@experiment("MACs of a Conv2d, per output")
def neuron_macs(kernel: int) -> Measured:
    """MACs of one convolutional neuron on one channel."""
    report = analyze(_conv(1, kernel, 1), (1, 1, kernel, kernel))
    return Measured(report.totals.macs)


@experiment("Linear layers of several sizes")
def linear_formula() -> Measured:
    """Whether fully connected layers have m·(1+n) parameters."""
    sizes = [(300, 784), (100, 300), (10, 100), (7, 1)]
    return Measured(all(_count(nn.Linear(n, m, device="meta")) == m * (1 + n) for m, n in sizes))


@experiment("Linear layers with LeNet-300's sizes")
def biases_are_few() -> Measured:
    """Whether the m·n weights are more than 99 percent, but not all, of the parameters of LeNet-300's layers."""
    sizes = [(300, 784), (100, 300), (10, 100)]
    all_params = sum(_count(nn.Linear(n, m, device="meta")) for m, n in sizes)
    return Measured(0 < 100 * (all_params - sum(m * n for m, n in sizes)) < all_params)


@experiment("Linear layers for images of 28×28 and 56×56")
def larger_images() -> Measured:
    """Which of a layer's m units and n inputs grow with the image."""
    small, large = (nn.Linear(side * side, 300, device="meta") for side in (28, 56))
    grows = {"m": large.out_features > small.out_features, "n": large.in_features > small.in_features}
    return Measured(", ".join(name for name, more in grows.items() if more))


@experiment("Conv2d layers of several sizes")
def conv_formula() -> Measured:
    """Whether convolutional layers have m·(1+F²)·#ch parameters."""
    sizes = [(6, 5, 1), (16, 5, 6), (96, 11, 3), (64, 3, 64)]
    return Measured(all(_count(_conv(m, f, ch)) == m * (1 + f**2) * ch for m, f, ch in sizes))


@experiment("a convolution of three channels, compared with three of one channel")
def channels_are_summed() -> Measured:
    """Whether a convolution of three channels is the sum of three convolutions of one channel each."""
    image, filters = _random(1, 3, 28, 28), _random(4, 3, 5, 5)
    apart = sum(F.conv2d(image[:, c : c + 1], filters[:, c : c + 1]) for c in range(3))
    return Measured(torch.allclose(F.conv2d(image, filters), torch.as_tensor(apart)))


@experiment("max pooling, compared with the maximum of each 2×2 square")
def pool_picks_maxima() -> Measured:
    """Whether 2×2 max pooling returns the maximum of each of the non-overlapping squares."""
    maps = _random(1, 6, 28, 28)
    squares = maps.unflatten(2, (14, 2)).unflatten(4, (14, 2))
    return Measured(torch.equal(F.max_pool2d(maps, 2), squares.amax(dim=(3, 5))))


@experiment("weights of Conv2d layers of one channel")
def weights_per_pair(layers: int, kernel: int) -> Measured:
    """Number of weights of `layers` consecutive convolutions, for each pair of channels."""
    return Measured(layers * _conv(1, kernel, 1).weight.numel())
