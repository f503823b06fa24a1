"""Tensors of sparse layouts (COO, CSR, CSC, BSR, BSC): their component tensors, and stand-ins without data.

A stand-in is a sparse tensor on `meta` that stores as many elements as the original. If the positions of the elements
are known, the stand-in has an attribute with its pattern, a sparse CPU tensor that stores elements there: the number of
elements after summing duplicates, or after combining two tensors, depends on positions and not on values.
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
"""Names of ops that return an index tensor."""

_PATTERN = "_pattern_of_stand_in"
"""Attribute of stand-ins: the pattern."""
_MADE_OF = "_made_of"
"""Attribute of stand-ins: tensors to keep alive."""


def is_sparse(value: Any) -> bool:
    """True if a value is a tensor of a sparse layout."""
    return isinstance(value, torch.Tensor) and value.layout in LAYOUTS


def is_part(name: str) -> bool:
    """True if the op of this name returns a component tensor."""
    return name in INDICES or name in {"values", "_values"}


def any_sparse(tensors: Iterable[torch.Tensor]) -> bool:
    """True if any of the tensors is sparse."""
    return any(tensor.layout in LAYOUTS for tensor in tensors)


def parts(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the tensor of stored elements, then the index tensors."""
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
    """Assemble a tensor of the layout and shape of `like` from component tensors, on the device of `values`."""
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
    """Return a tensor on `meta` that stores as many elements as the given one, with the pattern if it is known."""
    values, *indices = [torch.empty(part.shape, dtype=part.dtype, device=META) for part in parts(tensor)]
    return with_pattern(assembled(tensor, values, indices), pattern(tensor))


def keep_alive(tensor: torch.Tensor, made_of: list[torch.Tensor]) -> None:
    """Keep tensors with data alive as long as `tensor`, which was assembled from their stand-ins."""
    setattr(tensor, _MADE_OF, made_of)


def pattern(tensor: torch.Tensor) -> torch.Tensor | None:
    """Return a tensor with data that stores (arbitrary) elements at the same positions; None if these are unknown."""
    if not is_meta(tensor):
        return tensor.detach()
    return getattr(tensor, _PATTERN, None)


def with_pattern(tensor: torch.Tensor, positions: torch.Tensor | None) -> torch.Tensor:
    """Set the pattern of a meta tensor, unless it is None, and return the tensor."""
    if positions is not None and is_meta(tensor):
        setattr(tensor, _PATTERN, positions)
    return tensor
