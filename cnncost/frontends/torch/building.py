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
        try:
            return func(*args, **kwargs)
        except (RuntimeError, NotImplementedError):
            if not any(tensor.is_meta for tensor in _tensors((args, kwargs))):
                raise
        # What was kept on the CPU met what was not: the result has no values.
        return func(*_on_meta(args), **_on_meta(kwargs))


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))


def _on_meta(value: Any) -> Any:
    """Arguments with each tensor, and each device that is named, on `meta`."""
    if isinstance(value, torch.Tensor):
        return value if value.is_meta else value.to("meta")
    if isinstance(value, torch.device):
        return torch.device("meta")
    if type(value) in (list, tuple):
        return type(value)([_on_meta(item) for item in value])
    if type(value) is dict:
        return {name: "meta" if name == "device" else _on_meta(item) for name, item in value.items()}
    return value


@contextmanager
def building() -> Iterator[None]:
    """Tensors made while it lasts are on `meta`, but for the few kinds whose values constructors read."""
    with same_random_state(), torch.device("meta"), _Bare():
        yield
