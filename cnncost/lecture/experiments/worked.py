"""Computes, with torch, the convolution of a 5×5 input and a 3×3 filter that slides 17 to 28 work out by hand."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cnncost.lecture.experiments.registry import experiment
from cnncost.lecture.values import Measured

__all__ = [
    "worked_filter",
    "worked_filter_size",
    "worked_input",
    "worked_input_size",
    "worked_last_pixel",
    "worked_map",
    "worked_pixels",
    "worked_size",
    "worked_step",
]

INPUT = """
1 1 1 0 0
0 1 1 1 0
0 0 1 1 1
0 0 1 1 0
0 1 1 0 0
"""
FILTER = """
1 0 1
0 1 0
1 0 1
"""


def _tensor(rows: str) -> Tensor:
    """Return a tensor of shape N,C,H,W from rows of text."""
    return torch.tensor([[[[float(number) for number in row.split()] for row in rows.strip().splitlines()]]])


def _in_line(rows: str) -> str:
    return " / ".join(rows.strip().splitlines())


def _feature_map() -> list[list[int]]:
    rows: list[list[int]] = F.conv2d(_tensor(INPUT), _tensor(FILTER))[0, 0].int().tolist()
    return rows


@experiment("conv2d of the slide's input and filter")
def worked_map() -> Measured:
    """The whole feature map, with its rows separated by slashes."""
    return Measured(" / ".join(" ".join(map(str, row)) for row in _feature_map()))


@experiment("the slide's input")
def worked_input() -> Measured:
    """The image, with its rows separated by slashes."""
    return Measured(_in_line(INPUT))


@experiment("the slide's filter")
def worked_filter() -> Measured:
    """The filter, with its rows separated by slashes."""
    return Measured(_in_line(FILTER))


@experiment("the slide's input")
def worked_input_size() -> Measured:
    """Height and width of the image."""
    return Measured(tuple(_tensor(INPUT).shape[2:]))


@experiment("the slide's input")
def worked_pixels() -> Measured:
    """Number of pixels of the image."""
    return Measured(_tensor(INPUT).numel())


@experiment("the slide's filter")
def worked_filter_size() -> Measured:
    """Height and width of the filter."""
    return Measured(tuple(_tensor(FILTER).shape[2:]))


@experiment("conv2d of the slide's input and filter")
def worked_size() -> Measured:
    """Height and width of the feature map."""
    rows = _feature_map()
    return Measured((len(rows), len(rows[0])))


@experiment("conv2d of the slide's input and filter")
def worked_step(row: int, column: int) -> Measured:
    """One number of the feature map (row and column from 1), and the nine products (pixel · weight) in its sum."""
    patch = _tensor(INPUT)[0, 0, row - 1 : row + 2, column - 1 : column + 2].int().flatten().tolist()
    weights = _tensor(FILTER).int().flatten().tolist()
    work = " + ".join(f"{pixel}·{weight}" for pixel, weight in zip(patch, weights, strict=True))
    return Measured(_feature_map()[row - 1][column - 1], work=work)


@experiment("the gradient of the first output")
def worked_last_pixel() -> Measured:
    """The position, counted from 1, of the last pixel on which the first output depends: the one multiplied by w9."""
    image = _tensor(INPUT).requires_grad_()
    first = F.conv2d(image, torch.ones(1, 1, 3, 3))[0, 0, 0, 0]
    (gradient,) = torch.autograd.grad(first, image)
    return Measured(int(gradient.flatten().nonzero().max()) + 1)
