"""The loss that backward starts from: a scalar computed from forward's result."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn import functional as F

from cnncost.errors import InputError
from cnncost.frontends.torch.meta import META, is_meta

Loss: TypeAlias = "Callable[[Any], torch.Tensor] | str | None"


def loss_of(loss: Loss, result: Any) -> torch.Tensor:
    """Return the loss of a forward's result.

    Args:
        loss: a function of the result; a name, `cross_entropy` (classes on axis 1, class indices as the target),
            `mse` or `bce` (with logits), for which a target is created that fits the first floating-point output; or
            None: the result's `loss`, if it is a scalar that requires a gradient, else the sum of all outputs that do.
        result: forward's return value.

    Raises:
        InputError: the name is unknown, no output requires a gradient, or the loss is not a tensor of one real number.
    """
    if loss is None:
        return _require_real(_default_loss(result))
    if isinstance(loss, str):
        if loss not in _LOSSES:
            raise InputError(f"loss: {loss!r} is not known; expected one of {', '.join(_LOSSES)}, or a function")
        return _LOSSES[loss](_first_floating_output(result, loss))
    if not callable(loss):
        raise InputError(f"loss: expected a function of forward's result, or a name, got {type(loss).__name__}")
    value: Any = loss(result)
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        got = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
        raise InputError(f"loss: expected it to return one number as a tensor, got {got}; reduce it, as .mean() does")
    return _require_real(value)


def _require_real(loss: torch.Tensor) -> torch.Tensor:
    if loss.is_complex():
        raise InputError(
            "training: the loss is complex, but backward starts from a real number; pass a real loss, such as "
            "loss=lambda out: out.abs().sum()"
        )
    return loss


def _default_loss(result: Any) -> torch.Tensor:
    declared = result.get("loss") if isinstance(result, Mapping) else getattr(result, "loss", None)
    if isinstance(declared, torch.Tensor) and declared.numel() == 1 and declared.requires_grad:
        return declared
    sums = [tensor.sum() for tensor in _tensors(result) if tensor.requires_grad]
    if not sums:
        raise InputError(
            "training: no output of forward requires a gradient; expected trainable parameters (requires_grad) and "
            "outputs that are differentiable; pass loss=… if the loss is computed from something else, or leave "
            "training out (cnncost memory --inference)"
        )
    total = sums[0]
    for other in sums[1:]:
        total = total + other
    return total


def _first_floating_output(result: Any, name: str) -> torch.Tensor:
    for tensor in _tensors(result):
        if tensor.is_floating_point():
            return tensor
    raise InputError(f"loss: {name} expects an output of floating-point numbers, but forward returned none")


def _cross_entropy(output: torch.Tensor) -> torch.Tensor:
    if output.dim() < 2:
        raise InputError(f"loss: cross_entropy expects an output N,C,…, got the shape {tuple(output.shape)}")
    shape = (output.shape[0], *output.shape[2:])
    return F.cross_entropy(output, torch.zeros(shape, dtype=torch.int64, device=_target_device(output)))


def _target_device(output: torch.Tensor) -> torch.device:
    """Return the output's device if it has data, as in a real run; else meta, whatever device it reports."""
    return META if is_meta(output) else output.device


def _mse(output: torch.Tensor) -> torch.Tensor:
    return F.mse_loss(output, torch.empty(output.shape, dtype=output.dtype, device=_target_device(output)))


def _bce(output: torch.Tensor) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(
        output, torch.empty(output.shape, dtype=output.dtype, device=_target_device(output))
    )


_LOSSES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"cross_entropy": _cross_entropy, "mse": _mse, "bce": _bce}


def _tensors(result: Any, ancestors: tuple[int, ...] = ()) -> Iterator[torch.Tensor]:
    """Yield the tensors in containers and objects. `ancestors`: ids of the objects around `result`, to end cycles."""
    if isinstance(result, torch.Tensor):
        yield result
    elif isinstance(result, Mapping):
        for item in result.values():
            yield from _tensors(item, ancestors)
    elif isinstance(result, (list, tuple, set, frozenset, deque)):
        for item in result:
            yield from _tensors(item, ancestors)
    elif is_dataclass(result) and not isinstance(result, type):
        for field in fields(result):
            yield from _tensors(getattr(result, field.name, None), ancestors)
    elif not isinstance(result, (nn.Module, type, ModuleType)) and id(result) not in ancestors:
        for item in list(getattr(result, "__dict__", {}).values()):
            yield from _tensors(item, (*ancestors, id(result)))
