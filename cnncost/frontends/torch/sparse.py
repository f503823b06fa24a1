"""Tensors of sparse layouts (COO, CSR, CSC, BSR, BSC): what they are made of, and stand-ins without data.

A stand-in stores as many elements as what it stands for, in tensors on `meta`. Where the places of these elements are
known it carries them, as a tensor on the CPU: how many are left when duplicates are added up, or when two tensors
meet, follows from places and not from values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

META = torch.device("meta")
_BASE: Any = torch._C.TensorBase
is_meta: Callable[[torch.Tensor], bool] = _BASE.is_meta.__get__
COMPRESSED_ROWS = frozenset({torch.sparse_csr, torch.sparse_bsr})
COMPRESSED = COMPRESSED_ROWS | {torch.sparse_csc, torch.sparse_bsc}
LAYOUTS = COMPRESSED | {torch.sparse_coo}

_PATTERN = "_pattern_of_stand_in"
_MADE_OF = "_made_of"


def is_sparse(value: Any) -> bool:
    """Whether it is a tensor of one of these layouts."""
    return isinstance(value, torch.Tensor) and value.layout in LAYOUTS


def any_sparse(tensors: Iterable[torch.Tensor]) -> bool:
    """Whether one of the tensors is."""
    return any(tensor.layout in LAYOUTS for tensor in tensors)


def parts(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The stored elements, then the tensors that say where they belong."""
    with _disable_current_modes(), torch.no_grad():
        if tensor.layout is torch.sparse_coo:
            return tensor._values(), tensor._indices()
        if tensor.layout in COMPRESSED_ROWS:
            return tensor.values(), tensor.crow_indices(), tensor.col_indices()
        return tensor.values(), tensor.ccol_indices(), tensor.row_indices()


def stored(tensor: torch.Tensor) -> tuple[int, int]:
    """How many elements are stored, and the bytes of the indices."""
    values, *indices = parts(tensor)
    return values.numel(), sum(index.numel() * index.element_size() for index in indices)


def assembled(like: torch.Tensor, values: torch.Tensor, indices: Iterable[torch.Tensor]) -> torch.Tensor:
    """A tensor of the layout and sizes of another, of these parts; on the device of the values."""
    how: dict[str, Any] = {"dtype": values.dtype, "layout": like.layout, "device": values.device}
    with _disable_current_modes(), torch.no_grad():
        if like.layout is torch.sparse_coo:
            (places,) = indices
            made: torch.Tensor = torch.ops.aten._sparse_coo_tensor_with_dims_and_tensors(
                like.sparse_dim(), like.dense_dim(), like.shape, places, values, is_coalesced=like.is_coalesced(), **how
            )
            return made
        compressed, plain = indices
        made = torch.ops.aten._sparse_compressed_tensor_unsafe(compressed, plain, values, like.shape, **how)
        return made


def stand_in(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor on `meta` that stores as many elements, and knows their places if they are known."""
    values, *indices = [torch.empty(part.shape, dtype=part.dtype, device=META) for part in parts(tensor)]
    return with_pattern(assembled(tensor, values, indices), pattern(tensor))


def keep_alive(tensor: torch.Tensor, made_of: list[torch.Tensor]) -> None:
    """Let tensors with data live as long as the one that was made of their stand-ins."""
    setattr(tensor, _MADE_OF, made_of)


def pattern(tensor: torch.Tensor) -> torch.Tensor | None:
    """A tensor with data whose elements are in the same places; what their values are is not said."""
    if not is_meta(tensor):
        return tensor.detach()
    return getattr(tensor, _PATTERN, None)


def with_pattern(tensor: torch.Tensor, known: torch.Tensor | None) -> torch.Tensor:
    """The same tensor, with what `pattern` is to say of it."""
    if known is not None and is_meta(tensor):
        setattr(tensor, _PATTERN, known)
    return tensor
