"""Products of sparse matrices, counted one by one."""

from __future__ import annotations

import torch


def products(left: torch.Tensor, right: torch.Tensor) -> int:
    """Multiplications of a product of two matrices, at least one of them sparse: only what is stored is multiplied.

    Of a sparse and a dense one every stored entry counts, duplicates and explicit zeros too; of two sparse ones
    duplicates are one.
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
    """Places of all that a matrix stores: of blocks, each of their elements."""
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
            for i in range(blocks[0]):
                for j in range(blocks[1]):
                    found.append([row * blocks[0] + i, column * blocks[1] + j])
    return found
