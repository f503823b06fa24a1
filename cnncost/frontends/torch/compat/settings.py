"""Settings that torch has no way to ask for: the default device, which is a function mode, and a check's switch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._tensor_str import PRINT_OPTS as PRINT_OPTIONS
from torch.utils import _device
from torch.utils._device import DeviceContext, _device_constructors

__all__ = ["PRINT_OPTIONS", "DeviceContext"]
"""What `torch.set_printoptions` changes; the mode of `with torch.device(…)`, which passes its device to functions that
create tensors."""

creators: Callable[[], set[Any]] = _device_constructors
"""These functions."""

_THREAD = torch._GLOBAL_DEVICE_CONTEXT
"""The default device's mode in this thread: no attribute until one is set."""


def default_mode() -> Any:
    """The mode of `torch.set_default_device`; None if none was set."""
    return getattr(_THREAD, "device_context", None)


def default_device() -> torch.device:
    """`torch.get_default_device()`, at which torch 2.9 fails once `torch.set_default_device(None)` was called."""
    without_traces()
    return torch.get_default_device()


def named_device() -> Any:
    """The innermost device that a mode names, which torch keeps aside."""
    return _device.CURRENT_DEVICE


def set_default_mode(mode: Any, named: Any) -> None:
    """Put back what `default_mode` and `named_device` were."""
    _THREAD.device_context, _device.CURRENT_DEVICE = mode, named
    without_traces()


def validates_distributions() -> bool:
    """Whether distributions check their arguments' values, as `Distribution.set_default_validate_args` sets it."""
    return bool(torch.distributions.Distribution._validate_args)


def without_traces() -> None:
    """Delete the attribute of an unset default device: torch 2.9 can't be asked for the device otherwise."""
    if getattr(_THREAD, "device_context", True) is None:
        del _THREAD.device_context
