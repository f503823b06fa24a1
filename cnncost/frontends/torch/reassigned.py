"""`tensor.data = other` in forward: no dispatch mode sees it, but it changes the tensor's storage and geometry.

`module.to` casts and moves modules this way, for example in hooks that store weights in fewer bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from cnncost.frontends.torch.compat.tensors import TensorBase

_get, _set = TensorBase.data.__get__, TensorBase.data.__set__


@contextmanager
def told(forget: Callable[[torch.Tensor], object]) -> Iterator[None]:
    """In this context, call `forget` with each tensor whose `.data` is assigned."""

    def assign(tensor: torch.Tensor, value: torch.Tensor) -> None:
        _set(tensor, value)
        forget(tensor)

    before = vars(torch.Tensor).get("data")
    torch.Tensor.data = property(_get, assign)  # type: ignore[assignment]
    try:
        yield
    finally:
        if before is None:
            del torch.Tensor.data
        else:
            torch.Tensor.data = before
