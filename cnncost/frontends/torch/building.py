"""Building a model without weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from cnncost.frontends.torch.guard import same_random_state

_READ_BY_CONSTRUCTORS = frozenset({torch.linspace, torch.arange, torch.logspace, torch.tensor, torch.as_tensor})


_FILLS = frozenset(
    getattr(torch.Tensor, name)
    for name in "normal_ uniform_ trunc_normal_ zero_ fill_ mul_ add_ erfinv_ clamp_ exponential_ log_normal_".split()
    if hasattr(torch.Tensor, name)
)


class _Bare(TorchFunctionMode):
    """What building needs beside the `meta` device.

    What constructors read with `.item()` (depth-wise rates, positions, literal tensors) is kept on the CPU.
    Initial values are not drawn where there is nothing to fill: torch would import its compiler to do nothing.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _FILLS or getattr(func, "__module__", "") == "torch.nn.init":
            tensor = args[0] if args else kwargs.get("tensor")
            if isinstance(tensor, torch.Tensor) and tensor.is_meta:
                return tensor
        if func in _READ_BY_CONSTRUCTORS and kwargs.get("device") is None:
            kwargs = {**kwargs, "device": "cpu"}
        return func(*args, **kwargs)


@contextmanager
def building() -> Iterator[None]:
    """Tensors made while it lasts are on `meta`, but for the few kinds whose values constructors read."""
    with same_random_state(), torch.device("meta"), _Bare():
        yield
