"""Records copies between the devices of a model, in forward and backward.

A copied tensor stays on `meta`; only the device that it represents changes. The copy is recorded as an op of the kind
`transfer`. To autograd the copy would be one from `meta` to `meta`, and it would not copy the gradient back, so an
autograd Function of our own does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from cnncost.frontends.torch import memo as memos
from cnncost.frontends.torch.claimed import as_device, same_device
from cnncost.frontends.torch.compat.tensors import TensorBase
from cnncost.frontends.torch.meta import META, is_accelerator
from cnncost.graph import Node, OpSpec

_COPY = "aten::copy_"
LISTS = ("aten::_foreach_", "aten::_fused_")
"""Prefixes of ops on lists of tensors, which may be on several devices because one op is recorded per tensor."""


class DeviceTable(Protocol):
    """Maps each tensor of a recording to the device that it represents. `Appearance` implements it."""

    several: bool
    """Whether the model is on more than one device."""
    nodes: list[Node]
    """The nodes recorded so far."""

    def claimed(self, tensor: torch.Tensor) -> torch.device:
        """Return the device that a tensor represents."""

    def place(self, tensor: torch.Tensor, device: torch.device, away: bool = True) -> None:
        """Register that a tensor is on a device.

        `away` means that the tensor's memory is not counted if it is on the CPU and the model on one accelerator. If
        the model is on several devices, the memory counts for the tensor's own device.
        """


def moved(devices: DeviceTable, tensor: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the result of `tensor.to(…)` if that is a transfer to another device; else None.

    For a model on one device, a copy from or to the CPU is an ordinary op, because a report does not list the CPU in
    addition to one accelerator. A copy to another accelerator is a transfer; from then on the model is on several
    devices.
    """
    target = next((a for a in (*args, kwargs.get("other")) if isinstance(a, torch.Tensor)), None)
    named = [devices.claimed(target)] if target is not None else map(as_device, (*args, kwargs.get("device")))
    there, here = next((d for d in named if d is not None), None), devices.claimed(tensor)
    if there is None or same_device(there, here) or META in (there, here):
        return None
    if not devices.several and not (is_accelerator(there) and is_accelerator(here)):
        return None
    dtypes = (*args, kwargs.get("dtype"), target.dtype if target is not None else None, tensor.dtype)
    dtype = next(d for d in dtypes if isinstance(d, torch.dtype))
    return _transferred(tensor, devices, there, dtype, kwargs.get("memory_format") or torch.preserve_format)


def _transferred(tensor: torch.Tensor, devices: DeviceTable, there: torch.device, dtype: torch.dtype, form: Any) -> Any:
    """Copy to the device `there`, differentiably if autograd is on. `form` is the copy's memory format."""
    if torch.is_grad_enabled() and tensor.requires_grad:
        return _Transfer.apply(tensor, devices, there, dtype, form)  # type: ignore[no-untyped-call]
    return _copied(tensor, devices, there, dtype, form)


def _copied(
    tensor: torch.Tensor, devices: DeviceTable, there: torch.device, dtype: torch.dtype, form: Any
) -> torch.Tensor:
    """Copy to another device, and record the copy as a transfer."""
    here = with_index(devices.claimed(tensor))
    there = with_index(there)
    result: torch.Tensor = TensorBase.to(tensor, META, dtype, copy=True, memory_format=form)
    devices.nodes[-1] = _as_transfer(devices.nodes[-1], here, there)
    devices.place(result, there)
    return result


def _as_transfer(node: Node, here: torch.device, there: torch.device) -> Node:
    """Return the node of a copy as a transfer between two devices."""
    spec, attrs = node.spec, (("source", str(here)), ("target", str(there)))
    return node._replace(spec=memos.intern(OpSpec("transfer", spec.inputs, spec.outputs, attrs)))


class _Transfer(torch.autograd.Function):
    """A copy to another device, whose backward copies the gradient back."""

    @staticmethod
    def forward(ctx: Any, tensor: Any, devices: Any, there: Any, dtype: Any, form: Any) -> Any:
        """Return the copy."""
        ctx.devices, ctx.back = devices, (devices.claimed(tensor), tensor.dtype)
        return _copied(tensor.detach(), devices, there, dtype, form)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        """Return the gradient, copied back to the device and dtype of the original tensor."""
        device, dtype = ctx.back
        return _transferred(grad, ctx.devices, device, dtype, torch.preserve_format), None, None, None, None


def with_index(device: torch.device) -> torch.device:
    """Return an accelerator with an index, by default 0: `cuda` alone means the current device."""
    return torch.device(device.type, device.index or 0) if is_accelerator(device) else device


def check_together(devices: DeviceTable, name: str, tensors: Sequence[torch.Tensor]) -> None:
    """Raise torch's error if tensors of an op other than a copy are on several devices.

    0-dim and integer tensors (indices) on the CPU may be combined with tensors on any device.
    """
    if not devices.several or len(tensors) < 2 or name == _COPY or name.startswith(LISTS):
        return
    found: dict[str, None] = {}
    for tensor in tensors:
        device = devices.claimed(tensor)
        if is_accelerator(device) or (tensor.dim() and tensor.is_floating_point()):
            found[str(with_index(device))] = None
    if len(found) > 1:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {' and '.join(found)}! "
            "(move tensors with `.to(device)`, which cnncost also follows in backward; copies with `copy_` or by "
            "assignment are followed only without autograd)"
        )


def note_copy(devices: DeviceTable, name: str, tensors: Sequence[torch.Tensor]) -> None:
    """Turn the node of a `copy_` between two devices into a transfer."""
    if devices.several and name == _COPY and len(tensors) > 1:
        there, here = (with_index(devices.claimed(tensor)) for tensor in tensors[:2])
        if here != there:
            devices.nodes[-1] = _as_transfer(devices.nodes[-1], here, there)
