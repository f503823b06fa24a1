"""Create tensors on a device that this torch wasn't built for, or on the CPU when the model is elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from cnncost.frontends.torch.compat.settings import default_device
from cnncost.frontends.torch.meta import is_accelerator
from cnncost.frontends.torch.patches import Patch

_META = torch.device("meta")
_WHY = "a tensor made on the CPU would count as one on the model's device"
_FACTORIES = "empty empty_strided zeros ones full arange linspace eye rand randn randint randperm".split()


class _CreatingOnMeta(TorchFunctionMode):
    """Replaces the device by `meta` in calls that create tensors on it, and calls `place` with each tensor."""

    def __init__(self, device: torch.device, place: Callable[[torch.Tensor, torch.device], None]) -> None:
        super().__init__()
        self._kind = device.type
        self._place = place

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        device = (kwargs or {}).get("device")
        if device is None or func in _MOVING:
            return func(*args, **(kwargs or {}))
        device = torch.device(device)
        if device.type != self._kind:
            return func(*args, **kwargs)
        result = func(*args, **{**kwargs, "device": _META})
        if isinstance(result, torch.Tensor) and result.is_meta:
            self._place(result, device)
        return result


_MOVING = frozenset({torch.Tensor.to, torch.Tensor.cpu, torch.Tensor.cuda})
"""Methods that register the tensor's new device themselves (`Appearance`)."""


REPLACES_DEVICE = _CreatingOnMeta.__torch_function__.__code__
"""The code that replaces a device by `meta`; its variable `device` is the one that was requested."""


def creating_on(
    device: torch.device, place: Callable[[torch.Tensor, torch.device], None], several: bool = False
) -> AbstractContextManager[object]:
    """Return a context in which tensors can be created on the model's device even if torch doesn't have it.

    Args:
        device: the model's device.
        place: called with each tensor that is created there, and the device.
        several: whether the model is on several devices; this machine may have some of them and lack others.
    """
    if not is_accelerator(device) or (getattr(torch, device.type, torch.cuda).is_available() and not several):
        return nullcontext()
    return _CreatingOnMeta(device, place)


def host_creation_patches(place: Callable[[torch.Tensor], None]) -> list[Patch]:
    """Return patches of functions that create CPU tensors, on request or by default; each is passed to `place`."""
    return [Patch(torch, name, _placing(getattr(torch, name), place), _WHY) for name in _FACTORIES]


def _placing(original: Any, place: Callable[[torch.Tensor], None]) -> Any:
    def create(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if kwargs.get("out") is None:
            device = kwargs.get("device")
            if torch.device(default_device() if device is None else device).type == "cpu":
                place(result)
        return result

    return create


def cuda(device: Any) -> torch.device:
    """Return the device that `tensor.cuda(device)` names."""
    if device is None:
        return torch.device("cuda")
    return torch.device("cuda", device) if isinstance(device, int) else torch.device(device)


def as_device(value: Any) -> torch.device | None:
    """Return the device that an argument names; None if it names none."""
    if isinstance(value, torch.device):
        return value
    if not isinstance(value, str) and type(value) is not int:  # True is `non_blocking`, not a device
        return None
    try:
        return torch.device(value) if isinstance(value, str) else torch.device("cuda", value)
    except RuntimeError:
        return None


def same_device(one: torch.device, other: torch.device) -> bool:
    """True if the devices are the same; `cuda` without an index means the current one, 0 by default."""
    return one.type == other.type and (one.index or 0) == (other.index or 0)
