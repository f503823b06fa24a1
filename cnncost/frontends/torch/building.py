"""Building a model without weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from cnncost.frontends.torch.guard import same_random_state

_READ_BY_CONSTRUCTORS = frozenset({torch.linspace, torch.arange, torch.logspace, torch.tensor, torch.as_tensor})


class _KeepSmall(TorchFunctionMode):
    """Keeps on the CPU what constructors read with `.item()`: depth-wise rates, positions, literal tensors."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _READ_BY_CONSTRUCTORS and kwargs.get("device") is None:
            kwargs = {**kwargs, "device": "cpu"}
        return func(*args, **kwargs)


@contextmanager
def building() -> Iterator[None]:
    """Tensors made while it lasts are on `meta`, but for the few kinds whose values constructors read."""
    with same_random_state(), torch.device("meta"), _KeepSmall():
        yield
