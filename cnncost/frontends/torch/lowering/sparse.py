"""Ops on sparse tensors, counted by stored elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from cnncost.frontends.torch.compat.dispatch import without_modes
from cnncost.frontends.torch.lowering.registry import Attrs, Lowered, OpCall, kind_and_attrs, lower_layout, lowers
from cnncost.frontends.torch.sparse import is_sparse, pattern, stored
from cnncost.graph import OpSpec

_INDEX_OPS = """
_convert_indices_from_coo_to_csr _convert_indices_from_csr_to_coo _nnz is_coalesced sparse_dim dense_dim _dimI _dimV
_indices _values indices values crow_indices col_indices ccol_indices row_indices
_sparse_coo_tensor_with_dims_and_tensors _sparse_coo_tensor_with_dims _sparse_coo_tensor_unsafe sparse_coo_tensor
sparse_compressed_tensor _sparse_compressed_tensor_unsafe sparse_csr_tensor sparse_csc_tensor sparse_bsr_tensor
sparse_bsc_tensor _sparse_csr_tensor_unsafe _sparse_csc_tensor_unsafe _sparse_bsr_tensor_unsafe
_sparse_bsc_tensor_unsafe _validate_sparse_coo_tensor_args _validate_sparse_compressed_tensor_args
_validate_compressed_sparse_indices _validate_sparse_csr_tensor_args _validate_sparse_csc_tensor_args
_validate_sparse_bsr_tensor_args _validate_sparse_bsc_tensor_args _to_sparse _to_sparse_csr _to_sparse_csc
_to_sparse_bsr _to_sparse_bsc sparse_mask _sparse_mask_projection sparse_resize sparse_resize_and_clear
resize_as_sparse copy_sparse_to_sparse is_pinned _pin_memory _sparse_broadcast_to_copy _spdiags
_sparse_compressed_tensor_with_dims
"""
_ADDEND = frozenset({"addmm", "addmv", "_sparse_addmm", "addbmm", "baddbmm", "sspaddmm"})
_PRODUCTS = _ADDEND | {"mm", "bmm", "mv", "hspmm", "_sparse_sparse_matmul", "_sparse_mm_reduce_impl"}
_SOFTMAX = frozenset({"_sparse_softmax", "_sparse_log_softmax"})
_SAME_IF_SPARSE = frozenset({"layout", "create", "gather", "dropout"})
"""Kinds whose specs hold for sparse tensors, too."""


@lowers(*_INDEX_OPS.split())
def index_op(call: OpCall) -> Lowered:
    """Ops on indices and layout: no arithmetic."""
    return lower_layout(call, call.moves)


def counts_products(name: str) -> bool:
    """True if an op is a matrix product that is counted differently if a factor is sparse."""
    return name in _PRODUCTS


def lower_sparse(call: OpCall, tensors: Sequence[torch.Tensor], results: Sequence[torch.Tensor]) -> OpSpec:
    """Return the spec of a call with sparse arguments or results; ops without a lowering for these are unknown."""
    result = _lowered(call, tensors, results)
    kind, attrs = result if result is not None else (call.op.schema_name, call.plain())
    return OpSpec(kind, call.inputs, call.outputs, tuple(sorted(attrs.items())))


def _lowered(call: OpCall, tensors: Sequence[torch.Tensor], results: Sequence[torch.Tensor]) -> Lowered | None:
    name = call.name
    if name in _PRODUCTS:
        return _product(call, _factors(call, tensors))
    if name == "sparse_sampled_addmm":
        attrs: Attrs = {"stored": stored(call["self"])[0], "k": call["mat1"].shape[-1], "bias": call["beta"] != 0}
        return "sparse::sampled_matmul", attrs
    result_elements = sum(_stored_elements(result) for result in results[:1])  # 0 if the result is not a tensor
    if name in _SOFTMAX:
        return "sparse::softmax", {"fn": name.removeprefix("_sparse_"), "stored": result_elements}
    if name in {"_sparse_softmax_backward_data", "_sparse_log_softmax_backward_data"}:
        return "sparse::softmax_backward", {"stored": result_elements}
    if name in {"_coalesce", "_sparse_sum", "_sparse_csr_sum"}:
        return "sparse::reduce", {"fn": "sum", "stored": _stored_elements(tensors[0]), "left": result_elements}
    if name == "_sparse_sum_backward":
        return lower_layout(call, copy=True)
    dense = kind_and_attrs(call)
    if dense is None or dense[0] in _SAME_IF_SPARSE:
        return dense
    kind, attrs = dense
    if kind == "reduce" and is_sparse(tensors[0]):
        return "sparse::reduce", {"fn": attrs["fn"], "stored": _stored_elements(tensors[0]), "left": result_elements}
    if kind == "pointwise":
        return "sparse::pointwise", {"fn": attrs["fn"], "stored": _computed_elements(call, tensors, results)}
    return None


def _stored_elements(tensor: torch.Tensor) -> int:
    """Return the number of stored elements, which for a dense tensor are all elements."""
    return stored(tensor)[0] if is_sparse(tensor) else tensor.numel()


def _computed_elements(call: OpCall, tensors: Sequence[torch.Tensor], results: Sequence[torch.Tensor]) -> int:
    """Return the number of computed elements: for a sum of two sparse tensors, those that are stored in both."""
    result = results[0] if results else tensors[0]
    if call.name not in {"add", "sub"} or len(tensors) < 2:
        return _stored_elements(result)
    sparse = [_stored_elements(t) for t in tensors[:2] if is_sparse(t)]
    return sum(sparse) - _stored_elements(result) if len(sparse) == 2 else sparse[0]


def _factors(call: OpCall, tensors: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
    """Return the two factors of a product. An addend precedes them; an `out` argument follows."""
    first = 1 if call.name in _ADDEND else 0
    return tensors[first : first + 2]


def _product(call: OpCall, factors: Sequence[torch.Tensor]) -> Lowered | None:
    """Lower a product with a sparse factor: each stored element is multiplied by a row or column of a dense factor."""
    left, right = factors
    bias = call.name in _ADDEND and call.get("beta", 1) != 0
    if is_sparse(left) and is_sparse(right):
        pairs = _pairs(left, right)
        return None if pairs is None or bias else ("sparse::matmul", {"stored": pairs, "n": 1, "bias": False})
    if is_sparse(left):
        attrs: Attrs = {"stored": stored(left)[0], "n": right.shape[-1] if right.dim() > 1 else 1, "bias": bias}
    elif is_sparse(right):
        attrs = {"stored": stored(right)[0], "n": left.shape[-2] if left.dim() > 1 else 1, "bias": bias}
    else:
        return None
    if call.name in _ADDEND:
        attrs["addend"] = True
    reduce = call.get("reduce")
    if reduce in {"amax", "amin"}:
        return "sparse::extremes", attrs
    return "sparse::matmul", {**attrs, "mean": True} if reduce == "mean" else attrs


def _pairs(left: torch.Tensor, right: torch.Tensor) -> int | None:
    """Return the multiplications for two sparse matrices: Σₖ (elements in column k) · (elements in row k).

    None if the positions of the elements are unknown.
    """
    patterns = [pattern(tensor) for tensor in (left, right)]
    if left.dim() != 2 or None in patterns:
        return None
    columns, rows = [
        _elements_along(tensor, axis) for tensor, axis in zip(patterns, (1, 0), strict=True) if tensor is not None
    ]
    return int((columns * rows).sum())


def _elements_along(tensor: Any, axis: int) -> torch.Tensor:
    """Return the stored elements in each column (axis 1) or row (axis 0) of a matrix, counting duplicates once."""
    with without_modes(), torch.no_grad():
        coo = tensor.cpu() if tensor.layout is torch.sparse_coo else tensor.cpu().to_sparse(2)
        return torch.bincount(coo.coalesce().indices()[axis], minlength=tensor.shape[axis])
