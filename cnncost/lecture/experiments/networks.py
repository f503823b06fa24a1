"""Experiments on whole networks, each of which tests whether a statement is true."""

from __future__ import annotations

import torch
from torch import Tensor

from cnncost import zoo
from cnncost.analysis import analyze
from cnncost.lecture.experiments.registry import experiment
from cnncost.lecture.values import Measured

__all__ = ["back_projection", "dropout_is_free", "memory_follows_parameters"]


@experiment("bytes of the float32 parameters of all networks in the zoo")
def memory_follows_parameters() -> Measured:
    """Whether every network takes four bytes of storage per parameter."""
    totals = [analyze(name).totals for name in zoo.names()]
    return Measured(all(total.param_bytes == 4 * total.params for total in totals))


@experiment("AlexNet with dropout probabilities of 0 and 0.5")
def dropout_is_free() -> Measured:
    """Whether dropout leaves parameters and MACs unchanged."""
    totals = [analyze("alexnet", model_args={"dropout": share}).totals for share in (0.0, 0.5)]
    return Measured(len({(each.params, each.trainable_params, each.macs) for each in totals}) == 1)


@experiment("gradients of LeNet-5, compared with its receptive fields")
def back_projection() -> Measured:
    """Whether each layer's receptive field is as wide as the image area in which its output at (0, 0) has a gradient.

    The lecture calls the receptive field the output's back-projection.
    """
    report = analyze("lenet5")
    fields = {path: report.receptive_field(path) for path in ("c1", "s2", "c3", "s4", "c5")}
    return Measured(all(field.size == (_extent(path),) * 2 for path, field in fields.items()))


def _extent(path: str) -> int:
    """Width of the image area in which the gradient of a layer's output at (0, 0), summed over maps, is not zero."""
    model = zoo.build("lenet5").double()
    seen: list[Tensor] = []
    handle = model.get_submodule(path).register_forward_hook(lambda _m, _a, output: seen.append(output))
    image = torch.linspace(0, 1, 32 * 32, dtype=torch.float64).view(1, 1, 32, 32).requires_grad_()
    model(image)
    handle.remove()
    (gradient,) = torch.autograd.grad(seen[0][0, :, 0, 0].sum(), image)
    columns = gradient[0, 0].ne(0).any(dim=0).nonzero().flatten()
    return int(columns.max() - columns.min()) + 1
