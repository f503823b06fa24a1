"""The layers of the 1989 to 1998 LeNets that torch.nn does not have."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ScaledTanh", "SparseConv2d", "Subsample", "inputs_per_map", "lecun_uniform_"]


def inputs_per_map(table: str) -> tuple[tuple[int, ...], ...]:
    """Read a connection table as printed in the papers: one row per input map, one column per output map.

    Returns, for each output map, the indices of the input maps it sees: "XX. .XX" is ((0,), (0, 1), (1,)).
    """
    rows = table.split()
    if len({len(row) for row in rows}) != 1 or set("".join(rows)) > set("X."):
        raise ValueError(f"inputs_per_map: expected rows of X and . of one length, got {rows}")
    columns = zip(*rows, strict=True)
    return tuple(tuple(i for i, mark in enumerate(column) if mark == "X") for column in columns)


@torch.no_grad()
def lecun_uniform_(tensor: Tensor, fan_in: int) -> None:
    """Fill the tensor from the uniform distribution between -2.4/F and 2.4/F, where F is the fan-in.

    Ref: LeCun et al. 1998, appendix A. The papers treat a bias as the weight of a constant input, so
    biases are drawn in the same way.
    """
    tensor.uniform_(-2.4 / fan_in, 2.4 / fan_in)


class ScaledTanh(nn.Module):
    """f(a) = 1.7159 tanh(2a/3), so that f(1) = 1 and f(-1) = -1. Ref: LeCun et al. 1998, appendix A."""

    def forward(self, a: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(a * (2 / 3))


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring output maps with the same number of inputs, computed by a single grouped convolution.

    `groups` is the number of these maps, and `inputs` their concatenated input maps; `pairs` and `maps`
    are the run's slices of the layer's weight and bias.
    """

    groups: int
    inputs: tuple[int, ...]
    pairs: slice
    maps: slice


def _runs(connections: tuple[tuple[int, ...], ...]) -> tuple[Run, ...]:
    runs: list[Run] = []
    pair = first = 0
    for _, same_fan_in in groupby(connections, key=len):
        members = tuple(same_fan_in)
        inputs = tuple(i for member in members for i in member)
        pairs, maps = slice(pair, pair + len(inputs)), slice(first, first + len(members))
        runs.append(Run(len(members), inputs, pairs, maps))
        pair, first = pairs.stop, maps.stop
    return tuple(runs)


class SparseConv2d(nn.Module):
    """Convolution whose output maps see only the input maps that a connection table assigns to them.

    It has one kernel per connected pair and one bias per output map: unconnected pairs have no
    weight and cost no multiplication.

    Shapes: x (N, C, H, W); weight (pairs, R, R), in the order of the output maps; bias (K);
    y (N, K, H-R+1, W-R+1).
    Counts: N * pairs * R*R * P*Q MACs.
    Ref: LeCun et al. 1998, table I (C3); LeCun et al. 1990, table 1 (H3).
    """

    def __init__(self, connections: tuple[tuple[int, ...], ...], kernel_size: int) -> None:
        super().__init__()
        if not all(connections):
            raise ValueError(f"SparseConv2d: expected inputs for each output map, got {connections}")
        self.connections = connections
        self.kernel_size = kernel_size
        self._runs = _runs(connections)
        pairs = sum(len(inputs) for inputs in connections)
        self.weight = nn.Parameter(torch.empty(pairs, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.empty(len(connections)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for run in self._runs:
            fan_in = len(run.inputs) // run.groups * self.kernel_size**2
            lecun_uniform_(self.weight[run.pairs], fan_in)
            lecun_uniform_(self.bias[run.maps], fan_in)

    def forward(self, x: Tensor) -> Tensor:
        # split and cat, not index_select, which needs index tensors to store, move and convert
        planes = torch.split(x, 1, dim=1)
        return torch.cat([self._convolve(run, planes) for run in self._runs], dim=1)

    def _convolve(self, run: Run, planes: tuple[Tensor, ...]) -> Tensor:
        x = torch.cat([planes[i] for i in run.inputs], dim=1)
        kernels = self.weight[run.pairs].view(run.groups, -1, self.kernel_size, self.kernel_size)
        return F.conv2d(x, kernels, self.bias[run.maps], groups=run.groups)

    def extra_repr(self) -> str:
        return f"maps={len(self.connections)}, pairs={self.weight.shape[0]}, kernel_size={self.kernel_size}"


class Subsample(nn.Module):
    """The sum of each 2x2 neighbourhood, times a trainable coefficient, plus a trainable bias (one of each per map).

    Shapes: x (N, C, H, W); coefficient and bias (C, 1, 1); y (N, C, H/2, W/2).
    Counts: each unit has four inputs and a bias; the papers count these 5 as its connections.
    Ref: LeCun et al. 1998, section II.B, layer S2.
    """

    inputs_per_unit = 4

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.empty(maps, 1, 1))
        self.bias = nn.Parameter(torch.empty(maps, 1, 1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        lecun_uniform_(self.coefficient, self.inputs_per_unit)
        lecun_uniform_(self.bias, self.inputs_per_unit)

    def forward(self, x: Tensor) -> Tensor:
        # a divisor of 1 makes the average a sum
        return F.avg_pool2d(x, 2, divisor_override=1) * self.coefficient + self.bias

    def extra_repr(self) -> str:
        return f"maps={self.bias.shape[0]}"
