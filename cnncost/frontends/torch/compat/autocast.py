"""The devices that support autocast, and the state of autocast regions."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import torch
from torch.amp import autocast_mode

SUPPORTED_DEVICES: tuple[str, ...] = tuple(torch._C._autocast_supported_devices())
"""Device types that support autocast."""

CAST_PLACE = (autocast_mode, "_cast")
"""Casts the arguments for `custom_fwd(cast_inputs=…)`. It checks each tensor's device."""

IS_ANY_ENABLED_PLACE = (torch._C, "_is_any_autocast_enabled")
"""Returns whether autocast is on for any device: whether any of autocast's dispatch keys is on. So it would also return
True while cnncost's own kernels are on, which are registered at two of these keys (`dispatch.OURS`)."""

ENABLED = "_enabled"
"""Attribute of a `torch.autocast` instance: whether it turns autocast on or off."""

is_enabled: Callable[[Any], bool] = attrgetter(ENABLED)
"""Whether a `torch.autocast` instance turns autocast on."""
