"""`tensor.data = other` in forward: no dispatch mode sees it, but it changes the tensor's storage and geometry.

`module.to` casts and moves modules this way, for example in hooks that store weights in fewer bits.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from cnncost.frontends.torch.compat.tensors import TensorBase
from cnncost.frontends.torch.patches import Patch

_get, _set = TensorBase.data.__get__, TensorBase.data.__set__


def patches(forget: Callable[[torch.Tensor], object]) -> list[Patch]:
    """Call `forget` with each tensor whose `.data` is assigned."""

    def assign(tensor: torch.Tensor, value: torch.Tensor) -> None:
        _set(tensor, value)
        forget(tensor)

    return [Patch(torch.Tensor, "data", property(_get, assign), "the tensor would be taken for what it was before")]
