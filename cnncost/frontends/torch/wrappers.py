"""Tensors that wrap others: a DTensor around this rank's part, or the result of an asynchronous collective."""

from __future__ import annotations

import torch


def is_wrapper(kind: type) -> bool:
    """True if tensors of a class wrap others, to which their ops are dispatched in turn."""
    return hasattr(kind, "__tensor_flatten__")


def own_part(tensor: torch.Tensor) -> torch.Tensor:
    """Return the part of a DTensor on this rank; any other tensor unchanged."""
    return (*parts_of(tensor), tensor)[0]


def parts_of(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the tensors inside a wrapper; empty for any other tensor."""
    if type(tensor) is torch.Tensor or not is_wrapper(type(tensor)):
        return ()
    names, _ = tensor.__tensor_flatten__()  # type: ignore[attr-defined]  # asked above
    held = [getattr(tensor, name) for name in names]
    return tuple([part for part in held if isinstance(part, torch.Tensor)])
