"""Support `isinstance(x, torch.FloatTensor)` and `x.new(3)`, which depend on the tensor's device.

These types are not tensor classes. Their metaclass implements `isinstance` by a C method, which sees the true device.
`x.new(3)` creates a tensor of the type of `x`, on its device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from cnncost.frontends.torch.caller import on_no_request
from cnncost.frontends.torch.compat.tensors import LEGACY_KIND, TensorBase
from cnncost.frontends.torch.patches import LEGACY_METHODS, Patch

_NAME = "__instancecheck__"


def patches(is_instance: Callable[[Any, Any], bool | None]) -> list[Patch]:
    """Return patches: `isinstance` asks `is_instance(kind, value)` for such a type, where None lets torch decide."""
    new = Patch(torch.Tensor, "new", _new, "it creates on the tensor's device, which the model's code has not named")
    if LEGACY_METHODS is None:
        return [new]
    original = LEGACY_METHODS[_NAME]

    def check(kind: Any, value: Any) -> bool:
        result = is_instance(kind, value)
        return bool(original(kind, value)) if result is None else result

    return [new, Patch(LEGACY_KIND, _NAME, check, "isinstance(x, torch.FloatTensor) would see that x is on meta")]


def _new(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return on_no_request(TensorBase.new, tensor, *args, **kwargs)
