"""Tensors that forward makes of Python's data: `torch.tensor([3, 1])`, `torch.as_tensor(array)`.

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

_new_tensor: Callable[..., torch.Tensor] = TensorBase.new_tensor
_WHY = "no op is dispatched, so that the values would be lost"


def patches(recorder: Recorder, thread: int) -> list[Patch]:
    """Return patches of the functions that create literal tensors, for calls in one thread."""

    def new_tensor(tensor: torch.Tensor, data: Any, **kwargs: Any) -> torch.Tensor:
        return _Literals(partial(_new_tensor, tensor), recorder, thread, tensor).create(data, **kwargs)

    originals = ((name, getattr(torch, name)) for name in ("tensor", "as_tensor"))
    functions = [Patch(torch, name, _Literals(original, recorder, thread).create, _WHY) for name, original in originals]
    return [*functions, Patch(torch.Tensor, "new_tensor", new_tensor, _WHY)]


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
        if type(data) in (list, tuple):
            data = _with_numbers(data)
        appearance = recorder.appearance
        if recorder.on_values or appearance is None or not appearance.is_ours() or isinstance(data, torch.Tensor):
            return original(data, *args, **kwargs)
        with nullcontext() if _has_tensors(data) else without_modes():
            result = original(data, *args, **kwargs)
            values = original(data, dtype=result.dtype, device="cpu") if is_meta(result) else result.detach()
        stated = kwargs.get("device") is not None
        made_like = result if stated or self._like is None else self._like
        device = appearance.claimed(made_like) if is_meta(made_like) else made_like.device
        literal = on_no_request(meta_like, result)
        recorder.register_literal(below_transforms(literal), below_transforms(values))
        recorder.place(literal, device if stated or self._like is not None or recorder.several else None)
        return literal.requires_grad_() if result.requires_grad else literal


def _with_numbers(data: Any) -> Any:
    """Replace scalar meta tensors in a literal by their known values: `torch.tensor` can't read them."""
    if type(data) in (list, tuple):
        return type(data)([_with_numbers(item) for item in data])
    return data.item() if isinstance(data, torch.Tensor) and is_meta(data) and not data.dim() else data


def _has_tensors(data: Any) -> bool:
    return isinstance(data, torch.Tensor) or (type(data) in (list, tuple) and any(map(_has_tensors, data)))
