"""Tensors that wrap others: a DTensor around this rank's local tensor, or the result of an asynchronous collective."""

from __future__ import annotations

import torch


def is_wrapper(kind: type) -> bool:
    """True if tensors of this class wrap others. An op on them runs ops on the inner tensors, which are recorded."""
    return hasattr(kind, "__tensor_flatten__")


def own_part(tensor: torch.Tensor) -> torch.Tensor:
    """Return the first tensor inside a wrapper, for a DTensor this rank's local tensor; any other tensor unchanged."""
    return (*parts_of(tensor), tensor)[0]


def parts_of(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the tensors inside a wrapper; empty for any other tensor."""
    if type(tensor) is torch.Tensor or not is_wrapper(type(tensor)):
        return ()
    names, _ = tensor.__tensor_flatten__()  # type: ignore[attr-defined]  # `is_wrapper` has checked it
    attributes = [getattr(tensor, name) for name in names]
    return tuple([part for part in attributes if isinstance(part, torch.Tensor)])
