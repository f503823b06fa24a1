"""Settings that torch has no public query for: the default device (a function mode), and argument validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._tensor_str import PRINT_OPTS as PRINT_OPTIONS
from torch.utils import _device
from torch.utils._device import DeviceContext, _device_constructors

__all__ = ["PRINT_OPTIONS", "DeviceContext"]
"""`PRINT_OPTIONS` holds what `torch.set_printoptions` sets. `DeviceContext` is the function mode of
`with torch.device(…)`, which passes its device to functions that create tensors."""

creators: Callable[[], set[Any]] = _device_constructors
"""Returns the functions that create tensors, to which a device mode passes its device."""

_THREAD = torch._GLOBAL_DEVICE_CONTEXT
"""Thread-local object that holds the default device's mode, in an attribute that is missing until one is set."""


def default_mode() -> Any:
    """Return the mode set by `torch.set_default_device`; None if none was set."""
    return getattr(_THREAD, "device_context", None)


def default_device() -> torch.device:
    """Return `torch.get_default_device()`, which in torch 2.9 raises after `torch.set_default_device(None)`."""
    without_traces()
    return torch.get_default_device()


def named_device() -> Any:
    """Return the device of the innermost `with torch.device(…)`, which torch stores separately."""
    return _device.CURRENT_DEVICE


def set_default_mode(mode: Any, named: Any) -> None:
    """Restore the values that `default_mode` and `named_device` returned."""
    _THREAD.device_context, _device.CURRENT_DEVICE = mode, named
    without_traces()


def validates_distributions() -> bool:
    """True if distributions validate their arguments (`Distribution.set_default_validate_args`)."""
    return bool(torch.distributions.Distribution._validate_args)


def without_traces() -> None:
    """Delete the None that unsetting the default device leaves: `torch.get_default_device` fails on it in torch 2.9."""
    if getattr(_THREAD, "device_context", True) is None:
        del _THREAD.device_context
