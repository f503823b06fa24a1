"""The devices that support autocast, and the state of autocast regions."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import torch
from torch.amp import autocast_mode

SUPPORTED_DEVICES: tuple[str, ...] = tuple(torch._C._autocast_supported_devices())
"""Device types that have an autocast. Up to 2.8 torch can't be asked."""

CAST_PLACE = (autocast_mode, "_cast")
"""The cast of `custom_fwd(cast_inputs=…)`, which looks at each tensor's device."""

IS_ANY_ENABLED_PLACE = (torch._C, "_is_any_autocast_enabled")
"""Whether autocast is on for any device. It looks at dispatch keys, of which this package uses two."""

ENABLED = "_enabled"
"""Attribute of a region (`torch.autocast`): whether it turns autocast on or off."""

is_enabled: Callable[[Any], bool] = attrgetter(ENABLED)
"""Its value."""
