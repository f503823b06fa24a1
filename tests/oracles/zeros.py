"""Counts products whose factors are both nonzero, one by one, on nested lists as returned by `tolist`."""

from __future__ import annotations

from itertools import product
from typing import Any


def at(tensor: Any, *place: int) -> float:
    """An element of a nested list."""
    for index in place:
        tensor = tensor[index]
    return tensor


def matmul(a: Any, b: Any) -> int:
    """a: M,K; b: K,N."""
    rows, inner, columns = range(len(a)), range(len(b)), range(len(b[0]))
    return sum(1 for i, k, j in product(rows, inner, columns) if a[i][k] != 0 and b[k][j] != 0)


def convolution(x: Any, w: Any, stride: int, padding: int, dilation: int, groups: int) -> int:
    """x: N,C,H,W; w: K,C/g,R,S; the same geometry along both axes."""
    images, height, width = range(len(x)), len(x[0][0]), len(x[0][0][0])
    kernels, per_group, r, s = len(w), len(w[0]), len(w[0][0]), len(w[0][0][0])
    rows = (height + 2 * padding - dilation * (r - 1) - 1) // stride + 1
    columns = (width + 2 * padding - dilation * (s - 1) - 1) // stride + 1
    count = 0
    for n, k, p, q in product(images, range(kernels), range(rows), range(columns)):
        for c, i, j in product(range(per_group), range(r), range(s)):
            y, z = p * stride - padding + i * dilation, q * stride - padding + j * dilation
            channel = k // (kernels // groups) * per_group + c
            if 0 <= y < height and 0 <= z < width and x[n][channel][y][z] != 0 and w[k][c][i][j] != 0:
                count += 1
    return count


def transposed(x: Any, w: Any, stride: int, padding: int, extra: int, dilation: int, groups: int) -> int:
    """x: N,C,H,W; w: C,K/g,R,S: each input is spread over the output; products outside of it are not computed."""
    images, channels, height, width = len(x), len(x[0]), len(x[0][0]), len(x[0][0][0])
    per_group, r, s = len(w[0]), len(w[0][0]), len(w[0][0][0])
    rows = (height - 1) * stride - 2 * padding + dilation * (r - 1) + extra + 1
    columns = (width - 1) * stride - 2 * padding + dilation * (s - 1) + extra + 1
    assert channels % groups == 0
    count = 0
    for n, c, y, z in product(range(images), range(channels), range(height), range(width)):
        for k, i, j in product(range(per_group), range(r), range(s)):
            p, q = y * stride - padding + i * dilation, z * stride - padding + j * dilation
            if 0 <= p < rows and 0 <= q < columns and x[n][c][y][z] != 0 and w[c][k][i][j] != 0:
                count += 1
    return count
