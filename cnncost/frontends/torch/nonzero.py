"""Counts the non-zero elements of a model's weights, and the stored elements of its sparse weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import nn

from cnncost.errors import InputError
from cnncost.frontends.torch.compat.modules import tables_of
from cnncost.frontends.torch.sparse import stored as elements
from cnncost.graph import Graph

_MASK = "_mask"


class Weights(NamedTuple):
    """Element counts of weights, by value id: non-zero elements of all, stored elements of those in a sparse layout."""

    nonzero: dict[int, int]
    stored: dict[int, int]


def nonzero_weights(model: nn.Module, graph: Graph) -> Weights:
    """Count the non-zero elements of parameters and buffers with two or more axes, and of pruned weights.

    A pruned weight is the product of a weight and its mask. Stored elements are counted only for sparse layouts.

    Raises:
        InputError: a parameter or buffer is on `meta`, where it has no values to count.
    """
    modules = dict(model.named_modules())
    counts: dict[int, int] = {}
    stored: dict[int, int] = {}
    masked: dict[tuple[int, int], int] = {}  # non-zero elements of weight × mask, by the value ids of the two
    for scope in graph.scopes:
        module = modules.get(scope.path)
        if module is None:
            continue
        ids = {owned.name: owned.value for owned in scope.parameters + scope.buffers}
        for name, tensor in _tensors_of(module):
            if tensor.is_meta:
                raise InputError("effective counts need the values of the weights, but the model has weights on meta")
            if tensor.dim() > 1 and name in ids:
                counts[ids[name]] = _count(tensor)
                if tensor.layout is not torch.strided:
                    stored[ids[name]] = elements(tensor)[0]
        for name in [n.removesuffix(_MASK) for n in ids if n.endswith(_MASK)]:  # names given by torch.nn.utils.prune
            mask, weight = getattr(module, name + _MASK), getattr(module, name + "_orig", None)
            if weight is not None and name + "_orig" in ids:
                masked[ids[name + "_orig"], ids[name + _MASK]] = int(torch.count_nonzero(weight * mask))
    for node in graph.nodes:  # forward uses weight × mask as the weight
        pair = (node.inputs[0], node.inputs[1]) if len(node.inputs) == 2 else None
        if node.spec.kind == "pointwise" and pair is not None and len(node.outputs) == 1:
            count = masked.get(pair, masked.get((pair[1], pair[0])))
            if count is not None:
                counts[node.outputs[0]] = count
    return Weights(counts, stored)


def _count(tensor: torch.Tensor) -> int:
    """The number of non-zero elements. A sparse tensor may also store zeros, which don't count."""
    if tensor.layout is torch.sparse_coo:
        tensor = tensor.detach().coalesce()
    stored = tensor if tensor.layout is torch.strided else tensor.detach().values()
    return int(torch.count_nonzero(stored))


def _tensors_of(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """The parameters and buffers that a module itself registers, by name."""
    for table in tables_of(module):
        yield from ((name, tensor) for name, tensor in table.items() if tensor is not None)
