"""Support `isinstance(x, torch.FloatTensor)`, whose answer depends on the tensor's device.

These types are not tensor classes; their metaclass answers with a C method that sees a tensor's real device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cnncost.frontends.torch.compat.tensors import LEGACY_KIND
from cnncost.frontends.torch.patches import LEGACY_METHODS, Patch

_NAME = "__instancecheck__"


def patches(says: Callable[[Any, Any], bool | None]) -> list[Patch]:
    """Have `says(kind, value)` answer for such types; None: torch answers."""
    if LEGACY_METHODS is None:
        return []
    before = LEGACY_METHODS[_NAME]

    def answer(kind: Any, value: Any) -> bool:
        said = says(kind, value)
        return bool(before(kind, value)) if said is None else said

    return [Patch(LEGACY_KIND, _NAME, answer, "isinstance(x, torch.FloatTensor) would see that x is on meta")]
