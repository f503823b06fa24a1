"""Tensors that wrap others: a DTensor around this rank's part, the result of an asynchronous collective."""

from __future__ import annotations

import torch


def is_wrapper(kind: type) -> bool:
    """Whether tensors of a class wrap others, to which their ops are dispatched in turn."""
    return hasattr(kind, "__tensor_flatten__")


def own_part(tensor: torch.Tensor) -> torch.Tensor:
    """What a DTensor holds on this rank; any other tensor itself."""
    return (*parts_of(tensor), tensor)[0]


def parts_of(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The tensors that a wrapper stands for; none for any other tensor."""
    if type(tensor) is torch.Tensor or not is_wrapper(type(tensor)):
        return ()
    names, _ = tensor.__tensor_flatten__()  # type: ignore[attr-defined]  # asked above
    held = [getattr(tensor, name) for name in names]
    return tuple([part for part in held if isinstance(part, torch.Tensor)])
