"""Measures vanishing gradients: how much of a gradient is left after many layers.

Ratios are given as powers of ten, which are precise enough and do not depend on the machine.
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
"""Number of units of each layer."""
SIGMOID, RELU = 0, 1
"""Indices into `_FUNCTIONS`, because arguments of experiments are ints."""
_FUNCTIONS: tuple[nn.Module, ...] = (nn.Sigmoid(), nn.ReLU())


@experiment("the largest derivative, by autograd")
def largest_factor(function: int) -> Measured:
    """Return the largest derivative of the sigmoid (0) or the ReLU (1), as a factor in the chain rule."""
    x = torch.linspace(-8, 8, 33, dtype=torch.float64, requires_grad=True)  # includes 0, where the sigmoid is steepest
    (slope,) = torch.autograd.grad(_FUNCTIONS[function](x).sum(), x)
    return Measured(Fraction(float(slope.max())))


@experiment("gradient norm of the first layer divided by that of the last one, for layers of 32 units")
def gradient_left(function: int, depth: int) -> Measured:
    """Return the gradient norm of the first of `depth` layers divided by the last one's, as a power of ten."""
    return Measured(f"10^{_exponent(function, depth)}")


@experiment("gradient norm of the first layer divided by that of the last one, for layers of 32 units")
def fades_faster(depth: int) -> Measured:
    """Return whether less of the gradient reaches the first of `depth` layers with sigmoids than with ReLUs."""
    return Measured(_exponent(SIGMOID, depth) < _exponent(RELU, depth))


def _gradient_through(factor: float, count: int) -> float:
    """Return the gradient after `count` multiplications by a factor in the chain rule."""
    start = torch.ones((), dtype=torch.float64, requires_grad=True)
    x = start
    for _ in range(count):
        x = x * factor
    (gradient,) = torch.autograd.grad(x, start)
    return float(gradient)


@experiment("the gradient through a chain of multiplications")
def product(percent: int, count: int) -> Measured:
    """Return a product of `count` equal factors, given in percent, as a power of ten."""
    return Measured(f"10^{round(math.log10(_gradient_through(percent / 100, count)))}")


@experiment("the gradient through 20 and through 40 factors of 0.9")
def small_factors_vanish() -> Measured:
    """Return whether a gradient shrinks with the number of factors below 1."""
    return Measured(1 > _gradient_through(0.9, 20) > _gradient_through(0.9, 40))


@experiment("the gradient through 20 and through 40 factors of 1.1")
def large_factors_explode() -> Measured:
    """Return whether a gradient grows with the number of factors above 1."""
    return Measured(1 < _gradient_through(1.1, 20) < _gradient_through(1.1, 40))


def _exponent(function: int, depth: int) -> int:
    """Return log10 of the first layer's gradient norm divided by the last one's, rounded to an integer."""
    weights = [weight.requires_grad_() for weight in _weights(function, depth)]
    x = torch.randn(64, WIDTH, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for weight in weights:
        x = _FUNCTIONS[function](x @ weight)
    gradients = torch.autograd.grad(x.sum(), weights)
    return round(math.log10(float(gradients[0].norm() / gradients[-1].norm())))


def _weights(function: int, depth: int) -> list[Tensor]:
    """Return random weights of each layer of n units: variance 1/n for sigmoids (Glorot), 2/n for ReLUs (He)."""
    generator = torch.Generator().manual_seed(8)  # with this seed, no exponent is close to a rounding boundary
    scale = math.sqrt((2 if function == RELU else 1) / WIDTH)
    return [scale * torch.randn(WIDTH, WIDTH, generator=generator, dtype=torch.float64) for _ in range(depth)]
