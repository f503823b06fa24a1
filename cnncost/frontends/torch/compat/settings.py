"""Settings that public functions can't read or can't restore: default device, print options, argument validation."""

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
"""Thread-local object whose attribute `device_context`, missing until one is set, is the default device's mode."""


def default_mode() -> Any:
    """Return the mode set by `torch.set_default_device`; None if none was set."""
    return getattr(_THREAD, "device_context", None)


def default_device() -> torch.device:
    """Return `torch.get_default_device()`, which in torch 2.9 raises after `torch.set_default_device(None)`."""
    delete_unset_default()
    return torch.get_default_device()


def innermost_device() -> Any:
    """Return the device of the innermost `with torch.device(…)`, which torch stores apart from the mode."""
    return _device.CURRENT_DEVICE


def set_default_mode(mode: Any, innermost: Any) -> None:
    """Restore the values that `default_mode` and `innermost_device` returned."""
    _THREAD.device_context, _device.CURRENT_DEVICE = mode, innermost
    delete_unset_default()


def validates_distributions() -> bool:
    """True if distributions validate their arguments (`Distribution.set_default_validate_args`)."""
    return bool(torch.distributions.Distribution._validate_args)


def delete_unset_default() -> None:
    """Delete the attribute if it is None, as after `torch.set_default_device(None)`: torch 2.9 fails on it."""
    if getattr(_THREAD, "device_context", True) is None:
        del _THREAD.device_context
