"""A copy of a model without its weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from cnncost.frontends.torch.running import twin


def skeleton(model: nn.Module) -> nn.Module:
    """A deep copy whose parameters and buffers are on `meta`; tied ones stay tied. No weight is copied.

    With autograd on, torch's own code sees the tensors before the recorder does, and wants them all on one
    device; backward also needs parameters that a gradient may be left on.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for tensor in _tensors(list(vars(module).values())):
            if id(tensor) not in memo:
                memo[id(tensor)] = _bare(tensor)
    with torch.no_grad():
        return copy.deepcopy(model, memo)


def _bare(tensor: torch.Tensor) -> torch.Tensor:
    bare = twin(tensor.detach())
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(bare, tensor.requires_grad)
    # what forward left on a module (a computed weight, an activation) is no leaf; its copy has no history
    return bare.requires_grad_(tensor.requires_grad and tensor.is_leaf)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """The tensors that a module holds, in its dictionaries and lists as well."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from _tensors(item)
