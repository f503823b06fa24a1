"""Tensor-parallel styles that torch lacks, built on DTensor.

`Experts` is for experts whose weights are plain parameters. Each rank gets the same input and computes a partial sum of
the output; an all-reduce sums the outputs in forward, and another one the input's gradients in backward. `RotaryPart`
is for the rotary part of the keys in multi-head latent attention, whose gradient an all-reduce sums in backward.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ParallelStyle

AXES = {"colwise": -2, "packed_colwise": -2, "rowwise": -1, "packed_rowwise": -1}
"""The axis of the experts' weights (experts×outputs×inputs) that each word of a tensor-parallel plan splits. Of their
bias (experts×outputs), `colwise` and `packed_colwise` split the last axis."""


def split_axis(word: str, axes: int) -> int | None:
    """Return the axis along which `word` splits a parameter with `axes` axes; None if the parameter is replicated."""
    if word not in AXES or (axes < 3 and word.endswith("rowwise")):
        return None
    return axes + AXES[word] if axes > 2 else axes - 1


class Experts(ParallelStyle):
    """Experts split along their inner width: each rank has a slice of every expert.

    Args:
        words: the word of a tensor-parallel plan for each parameter, by the parameter's name.
    """

    def __init__(self, words: Mapping[str, str]) -> None:
        super().__init__()
        self.words = dict(words)

    def _apply(self, module: nn.Module, device_mesh: Any) -> nn.Module:
        """Split the parameters, and make forward use this rank's slices."""
        for name, word in self.words.items():
            parameter = getattr(module, name)
            axis = split_axis(word, parameter.dim())
            placement = Replicate() if axis is None else Shard(axis)
            # src_data_rank=None: each rank splits its own tensor, without a message from rank 0
            split = distribute_tensor(parameter, device_mesh, [placement], src_data_rank=None)
            module.register_parameter(name, nn.Parameter(split, requires_grad=parameter.requires_grad))
        module.register_forward_pre_hook(_Enter(tuple(self.words), device_mesh))
        module.register_forward_hook(_Leave(tuple(self.words), device_mesh), always_call=True)
        return module


class RotaryPart(ParallelStyle):
    """A replicated projection: each rank uses its last output elements for that rank's own heads only.

    Args:
        width: how many of the last elements.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def _apply(self, module: nn.Module, device_mesh: Any) -> nn.Module:
        """Sum the gradient of the last elements over the ranks."""
        module.register_forward_hook(_Summed(self.width, device_mesh))
        return module


class _Enter:
    """Forward pre-hook: sum the inputs' gradients over ranks in backward, and make split parameters local tensors."""

    def __init__(self, names: tuple[str, ...], mesh: Any) -> None:
        self.names, self.mesh = names, mesh

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        for name in self.names:  # attributes in `__dict__` shadow parameters
            module.__dict__[name] = getattr(module, name).to_local()
        return tuple(_summed_in_backward(x, self.mesh) for x in inputs)


class _Leave:
    """Forward hook: sum the ranks' outputs, and uncover the split parameters."""

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
    """Forward hook: sum the gradient of the output's last elements over ranks in backward."""

    def __init__(self, width: int, mesh: Any) -> None:
        self.width, self.mesh = width, mesh

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> Any:  # noqa: ARG002  # torch's protocol
        rest, rotary = output.split([output.shape[-1] - self.width, self.width], dim=-1)
        return torch.cat([rest, _summed_in_backward(rotary, self.mesh)], dim=-1)


def _summed_in_backward(x: Any, mesh: Any) -> Any:
    """Return the tensor unchanged, with its gradient summed over ranks in backward if it is floating-point."""
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        return x
    same: Any = DTensor.from_local(x, mesh, [Replicate()], run_check=False)
    return same.to_local(grad_placements=[Partial()])
