"""Vanishing gradients, measured: how much of a gradient is left after many layers.

Ratios are given as powers of ten, which are precise enough and the same on every machine.
"""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor, nn

from cnncost.lecture.experiments.registry import experiment
from cnncost.lecture.values import Measured

__all__ = [
    "fades_faster",
    "gradient_left",
    "large_factors_explode",
    "largest_factor",
    "product",
    "small_factors_vanish",
]

WIDTH = 32
"""Units of each layer."""
SIGMOID, RELU = 0, 1
"""Indices into `_FUNCTIONS`, as experiments take ints only."""
_FUNCTIONS: tuple[nn.Module, ...] = (nn.Sigmoid(), nn.ReLU())


@experiment("the largest derivative, by autograd")
def largest_factor(function: int) -> Measured:
    """Return the largest derivative of a sigmoid (0) or ReLU (1), its largest factor in the chain rule."""
    x = torch.linspace(-8, 8, 33, dtype=torch.float64, requires_grad=True)  # includes 0, where a sigmoid is steepest
    (slope,) = torch.autograd.grad(_FUNCTIONS[function](x).sum(), x)
    return Measured(Fraction(float(slope.max())))


@experiment("gradient norm of the first layer over that of the last one, layers of 32 units")
def gradient_left(function: int, depth: int) -> Measured:
    """Return the gradient norm of the first of `depth` layers over the last one's, as a power of ten."""
    return Measured(f"10^{_exponent(function, depth)}")


@experiment("gradient norm of the first layer over that of the last one, layers of 32 units")
def fades_faster(depth: int) -> Measured:
    """Return whether less of a gradient reaches the first of `depth` layers with sigmoids than with ReLUs."""
    return Measured(_exponent(SIGMOID, depth) < _exponent(RELU, depth))


def _gradient_through(factor: float, count: int) -> float:
    """Return the gradient after `count` multiplications by a factor in the chain rule."""
    start = torch.ones((), dtype=torch.float64, requires_grad=True)
    x = start
    for _ in range(count):
        x = x * factor
    (gradient,) = torch.autograd.grad(x, start)
    return float(gradient)


@experiment("the gradient through so many multiplications")
def product(percent: int, count: int) -> Measured:
    """Return a product of `count` equal factors, given in percent, as a power of ten."""
    return Measured(f"10^{round(math.log10(_gradient_through(percent / 100, count)))}")


@experiment("the gradient through twenty factors of 0.9, and through twice as many")
def small_factors_vanish() -> Measured:
    """Return whether a gradient shrinks with every factor below 1."""
    return Measured(1 > _gradient_through(0.9, 20) > _gradient_through(0.9, 40))


@experiment("the gradient through twenty factors of 1.1, and through twice as many")
def large_factors_explode() -> Measured:
    """Return whether a gradient grows with every factor above 1."""
    return Measured(1 < _gradient_through(1.1, 20) < _gradient_through(1.1, 40))


def _exponent(function: int, depth: int) -> int:
    """Return log10 of the first layer's gradient norm over the last one's, rounded to an integer."""
    weights = [weight.requires_grad_() for weight in _weights(function, depth)]
    x = torch.randn(64, WIDTH, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for weight in weights:
        x = _FUNCTIONS[function](x @ weight)
    gradients = torch.autograd.grad(x.sum(), weights)
    return round(math.log10(float(gradients[0].norm() / gradients[-1].norm())))


def _weights(function: int, depth: int) -> list[Tensor]:
    """Return random weights of each layer with variance 1/n for sigmoids (Glorot), 2/n for ReLUs (He)."""
    generator = torch.Generator().manual_seed(8)  # with this seed, no exponent is close to a rounding boundary
    scale = math.sqrt((2 if function == RELU else 1) / WIDTH)
    return [scale * torch.randn(WIDTH, WIDTH, generator=generator, dtype=torch.float64) for _ in range(depth)]
