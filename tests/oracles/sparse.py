"""Products of sparse matrices, counted one by one."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


def products(left: torch.Tensor, right: torch.Tensor) -> int:
    """Multiplications in a product of two matrices, at least one of them sparse: only stored elements are multiplied.

    With one sparse operand every stored entry counts, including duplicates and explicit zeros; with two, duplicates
    count once.
    """
    if left.layout is not torch.strided and right.layout is not torch.strided:
        a, b = set(map(tuple, entries(left))), set(map(tuple, entries(right)))
        return sum(1 for _, k in a for other, _ in b if k == other)
    count = 0
    if left.layout is not torch.strided:
        for _ in entries(left):
            for _ in range(right.shape[1] if right.dim() > 1 else 1):
                count += 1
        return count
    for _ in entries(right):
        for _ in range(left.shape[0]):
            count += 1
    return count


def entries(tensor: torch.Tensor) -> list[list[int]]:
    """Indices of all elements that a matrix stores; of blocks, of each of their elements."""
    if tensor.layout is torch.sparse_coo:
        return [list(place) for place in zip(*tensor._indices().tolist(), strict=True)]
    rows = tensor.layout in (torch.sparse_csr, torch.sparse_bsr)
    compressed = (tensor.crow_indices() if rows else tensor.ccol_indices()).tolist()
    plain = (tensor.col_indices() if rows else tensor.row_indices()).tolist()
    blocks = tensor.values().shape[1:] or (1, 1)
    found = []
    for major in range(len(compressed) - 1):
        for minor in plain[compressed[major] : compressed[major + 1]]:
            row, column = (major, minor) if rows else (minor, major)
            inside = itertools.product(range(blocks[0]), range(blocks[1]))
            found.extend([row * blocks[0] + i, column * blocks[1] + j] for i, j in inside)
    return found


class Counter(TorchDispatchMode):
    """Counts the products of the ops that torch really runs, one by one, in forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        if name in {"mm", "mv", "_sparse_sparse_matmul", "_sparse_mm_reduce_impl"}:
            self.count += _any(args[0], args[1])
        elif name in {"addmm", "_sparse_addmm", "addmv"}:
            self.count += _any(args[1], args[2])
        elif name == "bmm":
            sparse = args[0].layout is not torch.strided
            self.count += args[0]._nnz() * args[1].shape[2] if sparse else _any(args[0], args[1])
        elif name == "sparse_sampled_addmm":
            self.count += len(entries(args[0])) * args[1].shape[1]
        return func(*args, **(kwargs or {}))


def _any(left: torch.Tensor, right: torch.Tensor) -> int:
    if left.layout is torch.strided and right.layout is torch.strided:
        return left.numel() * (right.shape[-1] if right.dim() > 1 else 1)
    return products(left, right)
