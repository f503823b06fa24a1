"""Tensors of sparse layouts (COO, CSR, CSC, BSR, BSC): their component tensors, and stand-ins without data.

A stand-in is a sparse tensor on `meta` that stores as many elements as the original. If the positions of these elements
are known, an attribute has them as a tensor on the CPU, the pattern: the number of elements left after summing
duplicates, or after combining two tensors, depends on positions and not on values.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from cnncost.frontends.torch.compat.dispatch import without_modes
from cnncost.frontends.torch.compat.ops import COMPRESSED_FROM_PARTS, COO_FROM_PARTS
from cnncost.frontends.torch.compat.tensors import coo_indices, coo_values, is_meta

META = torch.device("meta")
COMPRESSED_ROWS = frozenset({torch.sparse_csr, torch.sparse_bsr})
COMPRESSED = COMPRESSED_ROWS | {torch.sparse_csc, torch.sparse_bsc}
LAYOUTS = COMPRESSED | {torch.sparse_coo}
INDICES = frozenset({"_indices", "indices", "crow_indices", "col_indices", "ccol_indices", "row_indices"})
"""Ops that return an index tensor."""

_PATTERN = "_pattern_of_stand_in"
_MADE_OF = "_made_of"
"""Attributes that stand-ins get: the pattern, and tensors to keep alive (`keep_alive`)."""


def is_sparse(value: Any) -> bool:
    """True if it is a tensor with one of these layouts."""
    return isinstance(value, torch.Tensor) and value.layout in LAYOUTS


def is_part(name: str) -> bool:
    """True for an op that returns a component tensor, given by its name."""
    return name in INDICES or name in {"values", "_values"}


def any_sparse(tensors: Iterable[torch.Tensor]) -> bool:
    """True if any of the tensors is sparse."""
    return any(tensor.layout in LAYOUTS for tensor in tensors)


def parts(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the stored elements, then the index tensors."""
    with without_modes(), torch.no_grad():
        if tensor.layout is torch.sparse_coo:
            return coo_values(tensor), coo_indices(tensor)
        if tensor.layout in COMPRESSED_ROWS:
            return tensor.values(), tensor.crow_indices(), tensor.col_indices()
        return tensor.values(), tensor.ccol_indices(), tensor.row_indices()


def stored(tensor: torch.Tensor) -> tuple[int, int]:
    """Return the number of stored elements, and the bytes of the indices."""
    values, *indices = parts(tensor)
    return values.numel(), sum(index.numel() * index.element_size() for index in indices)


def assembled(like: torch.Tensor, values: torch.Tensor, indices: Iterable[torch.Tensor]) -> torch.Tensor:
    """Assemble a tensor with the layout and sizes of `like` from its parts, on the device of the values."""
    factory_kwargs: dict[str, Any] = {"dtype": values.dtype, "layout": like.layout, "device": values.device}
    with without_modes(), torch.no_grad():
        if like.layout is torch.sparse_coo:
            (positions,) = indices
            result: torch.Tensor = COO_FROM_PARTS(
                like.sparse_dim(),
                like.dense_dim(),
                like.shape,
                positions,
                values,
                is_coalesced=like.is_coalesced(),
                **factory_kwargs,
            )
            return result
        compressed, plain = indices
        result = COMPRESSED_FROM_PARTS(compressed, plain, values, like.shape, **factory_kwargs)
        return result


def stand_in(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor on `meta` that stores as many elements as the given one, with its pattern if known."""
    values, *indices = [torch.empty(part.shape, dtype=part.dtype, device=META) for part in parts(tensor)]
    return with_pattern(assembled(tensor, values, indices), pattern(tensor))


def keep_alive(tensor: torch.Tensor, made_of: list[torch.Tensor]) -> None:
    """Keep tensors with data alive as long as the sparse tensor that was assembled from their stand-ins."""
    setattr(tensor, _MADE_OF, made_of)


def pattern(tensor: torch.Tensor) -> torch.Tensor | None:
    """A tensor with data that stores elements at the same positions, with arbitrary values; None if unknown."""
    if not is_meta(tensor):
        return tensor.detach()
    return getattr(tensor, _PATTERN, None)


def with_pattern(tensor: torch.Tensor, positions: torch.Tensor | None) -> torch.Tensor:
    """Set the pattern of a tensor on meta, if it is known, and return the tensor."""
    if positions is not None and is_meta(tensor):
        setattr(tensor, _PATTERN, positions)
    return tensor
