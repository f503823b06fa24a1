"""A copy of a model without its weights."""

from __future__ import annotations

import copy
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
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if tensor is None or id(tensor) in memo:
                continue
            bare = twin(tensor.detach())
            is_parameter = isinstance(tensor, nn.Parameter)
            memo[id(tensor)] = (
                nn.Parameter(bare, tensor.requires_grad) if is_parameter else bare.requires_grad_(tensor.requires_grad)
            )
    with torch.no_grad():
        return copy.deepcopy(model, memo)
