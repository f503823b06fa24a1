"""Support `isinstance(x, torch.FloatTensor)`, whose result depends on the tensor's device.

These types are not tensor classes. Their metaclass implements `isinstance` by a C method, which sees the true device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cnncost.frontends.torch.compat.tensors import LEGACY_KIND
from cnncost.frontends.torch.patches import LEGACY_METHODS, Patch

_NAME = "__instancecheck__"


def patches(is_instance: Callable[[Any, Any], bool | None]) -> list[Patch]:
    """Return patches: `isinstance` asks `is_instance(kind, value)` for such a type, where None lets torch decide."""
    if LEGACY_METHODS is None:
        return []
    original = LEGACY_METHODS[_NAME]

    def check(kind: Any, value: Any) -> bool:
        result = is_instance(kind, value)
        return bool(original(kind, value)) if result is None else result

    return [Patch(LEGACY_KIND, _NAME, check, "isinstance(x, torch.FloatTensor) would see that x is on meta")]
