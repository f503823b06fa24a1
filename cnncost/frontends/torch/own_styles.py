"""Styles of tensor parallel that torch has not: experts whose weights are parameters, the rotary part of latent keys.

Both are torch's DTensor put together: what enters a module is the same on all ranks, and its gradient is the sum of
theirs, an all-reduce in backward; what leaves it is a part of a sum, an all-reduce in forward.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ParallelStyle

AXES = {"colwise": -2, "packed_colwise": -2, "rowwise": -1, "packed_rowwise": -1}
"""The axis that each word splits of an expert's weights, E×K×C; of its bias, E×K, the columns are the last."""


def split_axis(word: str, ranks: int) -> int | None:
    """The axis of a parameter of so many axes that a word splits; None if each rank has all of it."""
    if word not in AXES or (ranks < 3 and word.endswith("rowwise")):
        return None
    return ranks + AXES[word] if ranks > 2 else ranks - 1


class Experts(ParallelStyle):
    """Experts whose weights are split in their inner width: each rank has a strip of each expert.

    Args:
        words: by the parameters' names, how each is split.
    """

    def __init__(self, words: Mapping[str, str]) -> None:
        super().__init__()
        self.words = dict(words)

    def _apply(self, module: nn.Module, device_mesh: Any) -> nn.Module:
        """Split the parameters, and have forward see this rank's parts of them."""
        for name, word in self.words.items():
            parameter = getattr(module, name)
            axis = split_axis(word, parameter.dim())
            placement = Replicate() if axis is None else Shard(axis)
            made = distribute_tensor(parameter, device_mesh, [placement], src_data_rank=None)
            module.register_parameter(name, nn.Parameter(made, requires_grad=parameter.requires_grad))
        module.register_forward_pre_hook(_Enter(tuple(self.words), device_mesh))
        module.register_forward_hook(_Leave(tuple(self.words), device_mesh), always_call=True)
        return module


class RotaryPart(ParallelStyle):
    """A projection that each rank has whole, of whose output the last elements go to this rank's heads alone.

    Args:
        width: how many elements these are.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def _apply(self, module: nn.Module, device_mesh: Any) -> nn.Module:
        """Sum the gradient of these elements over the ranks."""
        module.register_forward_hook(_Summed(self.width, device_mesh))
        return module


class _Enter:
    """Before forward: inputs whose gradients are summed, and local parameters in place of split ones."""

    def __init__(self, names: tuple[str, ...], mesh: Any) -> None:
        self.names, self.mesh = names, mesh

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        for name in self.names:  # an attribute of the instance comes before a parameter of that name
            module.__dict__[name] = getattr(module, name).to_local()
        return tuple(_summed_in_backward(x, self.mesh) for x in inputs)


class _Leave:
    """After forward: the sum of the ranks' outputs, and the split parameters again."""

    def __init__(self, names: tuple[str, ...], mesh: Any) -> None:
        self.names, self.mesh = names, mesh

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> Any:  # noqa: ARG002  # torch's protocol
        for name in self.names:
            module.__dict__.pop(name, None)
        if not isinstance(output, torch.Tensor):
            return output
        part: Any = DTensor.from_local(output, self.mesh, [Partial()], run_check=False)
        return part.redistribute(placements=[Replicate()]).to_local()


class _Summed:
    """After forward: the last elements with a gradient that is summed."""

    def __init__(self, width: int, mesh: Any) -> None:
        self.width, self.mesh = width, mesh

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> Any:  # noqa: ARG002  # torch's protocol
        rest, rotary = output.split([output.shape[-1] - self.width, self.width], dim=-1)
        return torch.cat([rest, _summed_in_backward(rotary, self.mesh)], dim=-1)


def _summed_in_backward(x: Any, mesh: Any) -> Any:
    """A tensor as it is, whose gradient is summed over the ranks."""
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        return x
    same: Any = DTensor.from_local(x, mesh, [Replicate()], run_check=False)
    return same.to_local(grad_placements=[Partial()])
