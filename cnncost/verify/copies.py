"""Copies a model for peers to run, so that the user's model is never modified.

Peers register hooks on modules and may run a real forward, in which modules such as caches update their state.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeAlias

import torch
from torch import nn

from cnncost.errors import InputError
from cnncost.frontends.torch.autocast_setting import Autocast
from cnncost.frontends.torch.compat.modules import BUFFERS, MODULES, PARAMETERS, tables_of
from cnncost.frontends.torch.inputs import Inputs

META = torch.device("meta")

Nest: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments."""


def on_meta(tensor: torch.Tensor) -> torch.Tensor:
    """Return a meta tensor with this tensor's shape, strides and dtype."""
    return torch.empty_like(tensor, device=META)


def parameters_on_meta(tensor: torch.Tensor) -> torch.Tensor:
    """Return a meta tensor for a parameter; a copy with data for other tensors, because forward may read them."""
    return on_meta(tensor) if isinstance(tensor, nn.Parameter) else tensor.detach().clone()


def on_cpu(tensor: torch.Tensor) -> torch.Tensor:
    """Return a CPU copy with the tensor's data, or zeros if it has none."""
    if tensor.is_meta:
        return torch.zeros(tensor.shape, dtype=tensor.dtype)
    return tensor.detach().to("cpu", copy=True)


def copied(model: nn.Module, place: Callable[[torch.Tensor], torch.Tensor]) -> nn.Module:
    """Return a copy of the model in eval mode, with each tensor replaced by `place(tensor)`.

    Tied tensors remain tied. Tensor data is copied only by `place`.

    Raises:
        InputError: an attribute of a module can't be copied.
    """
    made: dict[int, Any] = {}  # deepcopy's memo: deepcopy uses these as the copies of the tensors
    for module in model.modules():
        for tensor in _tensors_of_module(module):
            if id(tensor) not in made:
                made[id(tensor)] = _like(tensor, place)
    try:
        return copy.deepcopy(model, made).eval()
    except Exception as error:
        raise InputError(
            f"verify: the model can't be copied, which is necessary because the other tools might change it: "
            f"{type(error).__name__}: {error}"
        ) from error


def _tensors_of_module(module: nn.Module) -> Iterator[torch.Tensor]:
    """Yield a module's parameters and buffers, and the tensors in its other attributes, also within containers."""
    for table in tables_of(module):
        yield from (t for t in table.values() if t is not None)
    for name, value in vars(module).items():
        if name not in {PARAMETERS, BUFFERS, MODULES}:
            yield from tensors(value)


def _like(tensor: torch.Tensor, place: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    made = place(tensor).detach()
    return nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in nested containers, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors(item)


class Arguments:
    """Forward's arguments as a flat tuple of tensors, and the nested containers into which to put them back.

    The user's values, such as lengths and indices, are used by `with_values` and `on_cpu`.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._nest: Nest = (inputs.args, inputs.kwargs)
        self._data = inputs.data
        self.flat: tuple[torch.Tensor, ...] = tuple(tensors(self._nest))

    def with_values(self) -> tuple[torch.Tensor, ...]:
        """Return the tensors that the user passed with values as they are, and all others as meta tensors."""
        return tuple(self._data.get(id(t), t) for t in self.flat)

    def on_cpu(self) -> tuple[torch.Tensor, ...]:
        """Return CPU tensors with data: the user's values, or zeros."""
        return tuple(on_cpu(self._data.get(id(t), t)) for t in self.flat)

    def nested(self, flat: tuple[torch.Tensor, ...]) -> Nest:
        """Return the positional and keyword arguments with these tensors in them."""
        rest = iter(flat)
        args, kwargs = _filled(self._nest, rest)
        return args, kwargs


def _filled(nest: Any, rest: Iterator[torch.Tensor]) -> Any:
    """Return the nested containers with their tensors replaced by the next ones of `rest`."""
    if isinstance(nest, torch.Tensor):
        return next(rest)
    if isinstance(nest, dict):
        return {name: _filled(item, rest) for name, item in nest.items()}
    if isinstance(nest, (list, tuple)):
        items = [_filled(item, rest) for item in nest]
        if isinstance(nest, list):
            return items
        return type(nest)(*items) if hasattr(nest, "_fields") else tuple(items)
    return nest


@contextmanager
def unfused() -> Iterator[None]:
    """Context manager in which attention and encoder layers run as separate ops.

    In eval mode without grad, torch takes a fused path, in which no counter sees the ops.
    """
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


def autocast_of_peers(autocast: Autocast | None) -> AbstractContextManager[Any]:
    """Return a context manager that enables this autocast; for None, one that does nothing."""
    return nullcontext() if autocast is None else torch.autocast(autocast.device, autocast.dtype)
