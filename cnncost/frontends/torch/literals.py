"""Tensors that forward makes of Python's data: `torch.tensor([3, 1])`, `torch.as_tensor(array)`, `x.new([3, 1])`.

Torch dispatches no op for one on meta, and for another only what makes a constant of memory that is there already
(`lift_fresh`). Here, it is allocated by an op, with known values, and dies as other tensors do.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from threading import get_ident
from typing import Any

import torch

from cnncost.frontends.torch.caller import on_no_request
from cnncost.frontends.torch.compat.autograd import below_transforms
from cnncost.frontends.torch.compat.dispatch import without_modes
from cnncost.frontends.torch.compat.tensors import TensorBase
from cnncost.frontends.torch.meta import is_meta
from cnncost.frontends.torch.patches import Patch
from cnncost.frontends.torch.recorder import Recorder
from cnncost.frontends.torch.running import meta_like

_tensor: Callable[..., torch.Tensor] = torch.tensor
_new_tensor: Callable[..., torch.Tensor] = TensorBase.new_tensor
_PLAIN = (torch.Tensor, torch.nn.Parameter)
_WHY = "no op is dispatched, so that the values would be lost"
_WHY_NEW = "the same, and it creates on the tensor's device, which the model's code has not named"


def patches(recorder: Recorder, thread: int) -> list[Patch]:
    """Return patches of the functions that create literal tensors, for calls in one thread."""

    def new_tensor(tensor: torch.Tensor, data: Any, **kwargs: Any) -> torch.Tensor:
        if type(tensor) not in _PLAIN:  # a subclass makes tensors of its own class
            return _new_tensor(tensor, data, **kwargs)
        inner = _inner(tensor)
        return _Literals(partial(_new_tensor, inner), recorder, thread, inner).create(data, **kwargs)

    def new(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if len(args) == 1 and _is_data(args[0]) and type(tensor) in _PLAIN:
            return new_tensor(tensor, args[0], dtype=tensor.dtype, **kwargs)
        return on_no_request(TensorBase.new, _inner(tensor), *args, **kwargs)

    originals = ((name, getattr(torch, name)) for name in ("tensor", "as_tensor"))
    functions = [Patch(torch, name, _Literals(original, recorder, thread).create, _WHY) for name, original in originals]
    of_tensors = [Patch(torch.Tensor, "new_tensor", new_tensor, _WHY), Patch(torch.Tensor, "new", new, _WHY_NEW)]
    return [*functions, *of_tensors]


class _Literals:
    """Stores the values of the tensors that a function creates of data. `like`: the tensor that it is a method of."""

    def __init__(
        self, original: Callable[..., torch.Tensor], recorder: Recorder, thread: int, like: torch.Tensor | None = None
    ) -> None:
        self._original, self._recorder, self._thread, self._like = original, recorder, thread, like

    def create(self, data: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Create a literal as `original` does."""
        original, recorder = self._original, self._recorder
        if get_ident() != self._thread:
            return original(data, *args, **kwargs)
        appearance, like = recorder.appearance, self._like
        if recorder.on_values or appearance is None or not appearance.is_ours() or isinstance(data, torch.Tensor):
            return original(data, *args, **kwargs)
        data, stated = _with_values(data), kwargs.get("device") is not None
        if like is not None and not stated and is_meta(like):
            kwargs["device"] = "cpu"  # on meta, torch makes a tensor that transforms don't know
        with nullcontext() if _has_tensors(data) else without_modes():
            result = original(data, *args, **kwargs)
            values = original(data, dtype=result.dtype, device="cpu") if is_meta(result) else result.detach()
        made_like = result if stated or like is None else like
        device = appearance.claimed(made_like) if is_meta(made_like) else made_like.device
        literal = on_no_request(meta_like, result)
        recorder.register_literal(below_transforms(literal), below_transforms(values))
        recorder.place(literal, device if stated or like is not None or recorder.several else None)
        if result.requires_grad:
            literal.requires_grad = True  # `requires_grad_()` raises inside of a transform
        return literal


def _with_values(data: Any) -> Any:
    """Replace scalar tensors in a literal by their known values, in their dtypes: torch can't read those on meta."""
    if isinstance(data, (list, tuple)):
        return [_with_values(item) for item in data]
    if not isinstance(data, torch.Tensor) or data.dim():
        return data
    value = data.item()
    with without_modes():  # a tensor, because the literal's dtype follows from its dtype
        return _tensor(value, dtype=data.dtype, device="cpu")


def _has_tensors(data: Any) -> bool:
    """True if a literal has tensors with axes, whose elements are read by ops."""
    if isinstance(data, torch.Tensor):
        return data.dim() > 0
    return isinstance(data, list) and any(map(_has_tensors, data))


def _is_data(value: Any) -> bool:
    """True if `x.new(value)` takes the value for data: not for a size, or a tensor or storage that it refers to."""
    return hasattr(value, "__len__") and not isinstance(value, _NOT_DATA)


_NOT_DATA = (torch.Size, torch.Tensor, torch.UntypedStorage, torch.TypedStorage, str, bytes)


def _inner(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor on meta in a wrapper of `vmap` or `grad`, of which torch finds no device to create on."""
    return below_transforms(tensor) if is_meta(tensor) else tensor
