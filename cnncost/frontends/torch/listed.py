"""Indices that are written as lists: torch makes tensors of them where no dispatcher sees it, and they lose values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

import torch

from cnncost.frontends.torch.appearance import is_meta

_LISTS = frozenset({list, range})


@contextmanager
def lists_as_literals(thread: int) -> Iterator[None]:
    """While it lasts, `x[:, [2, 0, 1]]` is `x[:, torch.tensor([2, 0, 1])]` for tensors without data, in one thread."""
    own, original = torch.Tensor.__dict__.get("__getitem__"), torch.Tensor.__getitem__

    def __getitem__(tensor: torch.Tensor, index: Any) -> torch.Tensor:  # noqa: N807  # in place of torch's
        kind = type(index)
        listed = kind in _LISTS or (kind is tuple and not _LISTS.isdisjoint(map(type, index)))
        if listed and get_ident() == thread and is_meta(tensor):
            index = tuple(map(_literal, index)) if kind is tuple else _literal(index)
        return original(tensor, index)

    torch.Tensor.__getitem__ = __getitem__  # type: ignore[assignment, method-assign]  # put back below
    try:
        yield
    finally:
        if own is None:
            del torch.Tensor.__getitem__
        else:
            torch.Tensor.__getitem__ = own  # type: ignore[method-assign]  # as it was


def _literal(index: Any) -> Any:
    """A list of numbers as a tensor; what is no list, or holds tensors or slices, as it is."""
    return torch.tensor(list(index)) if type(index) in _LISTS and index and _numbers(index) else index


def _numbers(items: Any) -> bool:
    return all(type(item) in (int, bool) or (type(item) is list and _numbers(item)) for item in items)
