"""`tensor.data = other` in forward: torch tells no mode of it, and the tensor is another one after it.

Modules are cast and moved so (`module.to`), by hooks that keep weights in fewer bits, for one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

_BASE: Any = torch._C.TensorBase
_get, _set = _BASE.data.__get__, _BASE.data.__set__


@contextmanager
def told(forget: Callable[[torch.Tensor], object]) -> Iterator[None]:
    """While it lasts, `forget` is called with each tensor that is given other data."""

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
