"""Build a model without weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any, TypeAlias

import torch
from torch.overrides import TorchFunctionMode

from cnncost.classes import classes_hashable
from cnncost.frontends.torch import placement
from cnncost.frontends.torch.compat.settings import DeviceContext, creators
from cnncost.frontends.torch.guard import same_modes, same_random_state
from cnncost.frontends.torch.initial import FILLS, fill, initialization_skipped, set_element
from cnncost.frontends.torch.meta_cache import CACHED, run_cached
from cnncost.frontends.torch.patches import ONE_AT_A_TIME
from cnncost.frontends.torch.placement import DEVICE_METHODS, NOTED
from cnncost.frontends.torch.types import tensors_in
from cnncost.garbage import gc_disabled

_Treatment: TypeAlias = Callable[[Any, Any, Any], Any]
"""Replacement for a function call: receives the function, its arguments and its keyword arguments."""

_META, _CPU = torch.device("meta"), torch.device("cpu")
_CONSTANTS = (torch.zeros, torch.ones)
_READ_BY_CONSTRUCTORS = (torch.linspace, torch.arange, torch.logspace, torch.tensor, torch.as_tensor)


def _create(func: Any, args: Any, kwargs: Any) -> Any:
    """Create a tensor, on `meta` if no device is named."""
    if kwargs.get("device") is None:
        kwargs["device"] = _META
    return func(*args, **kwargs)


def _create_constant(func: Any, args: Any, kwargs: Any) -> Any:
    """Like `_create`, for zeros or ones: on `meta`, an empty tensor is equivalent and avoids torch's Python code."""
    return _create(torch.empty if kwargs.get("device") is None else func, args, kwargs)


def _create_readable(func: Any, args: Any, kwargs: Any) -> Any:
    """Create a tensor whose values constructors may read with `.item()`: on the CPU if no device is named."""
    if kwargs.get("device") is None:
        kwargs["device"] = _CPU
    elif func in CACHED:
        return run_cached(func, args, kwargs)
    return func(*args, **kwargs)


def _treatments() -> dict[Any, _Treatment]:
    """Return the replacements of the functions that building treats differently."""
    table: dict[Any, _Treatment] = {torch.Tensor.__setitem__: set_element}
    treatments = (
        (FILLS, fill),
        (CACHED, run_cached),
        (creators(), _create),
        (_CONSTANTS, _create_constant),
        (_READ_BY_CONSTRUCTORS, _create_readable),
    )
    for functions, treatment in treatments:  # later ones override earlier ones
        table.update(dict.fromkeys(functions, treatment))
    return table


_TREATMENTS = _treatments()


class _Building(DeviceContext):
    """Set the default device to `meta` and do all else that building needs in one mode, because each slows every call.

    Tensors whose values constructors read with `.item()` (depth-wise rates, positions, literals) are on the CPU.
    Initial values are not drawn for tensors without data.
    """

    # On top of the other modes, like `with torch.device("meta")`. DeviceContext's own `__enter__` puts it below them.
    __enter__ = TorchFunctionMode.__enter__
    __exit__ = TorchFunctionMode.__exit__

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        treatment = _TREATMENTS.get(func)
        if treatment is None and type(func) is FunctionType and func.__module__ == "torch.nn.init":
            treatment = fill
        try:
            # a cheap test first, because this runs in every call
            may_concern = NOTED or func in DEVICE_METHODS or kwargs.get("device") is not None
            if may_concern and placement.concerns(func, args, kwargs):
                return placement.call_placed(func, args, kwargs, treatment)
            return func(*args, **kwargs) if treatment is None else treatment(func, args, kwargs)
        except (RuntimeError, NotImplementedError):
            if not any(tensor.is_meta for tensor in tensors_in((args, kwargs))):
                raise
        # Mixed CPU and meta operands: the result has no values.
        return func(*_on_meta(args), **_on_meta(kwargs))


def _on_meta(value: Any) -> Any:
    """Return arguments with every tensor moved to `meta`, and every device replaced by it."""
    if isinstance(value, torch.Tensor):
        return value if value.is_meta else value.to("meta")
    if isinstance(value, torch.device):
        return _META
    if type(value) in (list, tuple):
        return type(value)([_on_meta(item) for item in value])
    if type(value) is dict:
        return {name: "meta" if name == "device" else _on_meta(item) for name, item in value.items()}
    return value


@contextmanager
def building() -> Iterator[None]:
    """Context in which new tensors are on `meta`, except the few whose values constructors read."""
    with (
        ONE_AT_A_TIME, gc_disabled(), classes_hashable(), same_random_state(), same_modes(), initialization_skipped(),
        _Building(_META),
    ):  # fmt: skip
        yield
