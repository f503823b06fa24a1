"""Connections and units per image, as counted by LeCun et al. and Krizhevsky et al.

A unit is one output value of a layer with weights; its connections are its inputs and its bias. A weight
shared by many units is one parameter and many connections.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnncost.zoo.lenet_layers import SparseConv2d, Subsample
from cnncost.zoo.rbf import BitmapRBF

__all__ = ["connections", "neurons"]


class Count(NamedTuple):
    """Counts of one layer per image."""

    connections: int
    neurons: int


def connections(model: nn.Module, input_shape: tuple[int, ...]) -> dict[str, int]:
    """Return the connections of each layer with weights, by module path, in the order of the forward pass.

    `input_shape` has a batch dimension of any size; the counts are per image.

    Raises:
        TypeError: the papers don't say how to count one of the layers.
    """
    return {path: count.connections for path, count in _counts(model, input_shape).items()}


def neurons(model: nn.Module, input_shape: tuple[int, ...]) -> dict[str, int]:
    """Return the units of each layer with weights, by module path. Argument and errors as in `connections`."""
    return {path: count.neurons for path, count in _counts(model, input_shape).items()}


def _counts(model: nn.Module, input_shape: tuple[int, ...]) -> dict[str, Count]:
    """Run a copy of the model on a meta tensor, and count each layer with weights when it is called."""
    counts: dict[str, Count] = {}

    def count(path: str, layer: nn.Module, _args: object, output: Tensor) -> None:
        out = output.shape[1:]
        counts[path] = Count(_connections(path, layer, out), out.numel())

    copied = _meta_copy(model)
    for path, layer in copied.named_modules():
        if [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]:
            layer.register_forward_hook(partial(count, path))
    with torch.no_grad():
        copied(torch.empty(input_shape, device="meta"))
    return counts


def _connections(path: str, layer: nn.Module, out: torch.Size) -> int:
    """Return a layer's connections, given its output shape for one image: (maps, height, width) or (units,)."""
    match layer:
        case nn.Conv2d() | SparseConv2d() | nn.Linear():
            # each of the P*Q positions uses each parameter once, biases included
            return out[1:].numel() * sum(parameter.numel() for parameter in layer.parameters())
        case Subsample():
            # a unit's inputs share one coefficient, but each is a separate connection; + 1 for the bias
            return out.numel() * (layer.inputs_per_unit + 1)
        case BitmapRBF():
            # no bias
            return out.numel() * layer.codes.shape[1]
    raise TypeError(
        f"connections at {path}: expected Conv2d, SparseConv2d, Linear, Subsample or BitmapRBF, "
        f"got {type(layer).__name__}"
    )


def _meta_copy(model: nn.Module) -> nn.Module:
    """Return a copy of the model on the meta device, so that hooks don't change the model itself."""
    memo: dict[int, object] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)
    for buffer in model.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(model, memo).eval()
