"""Brute-force counts of multiplications, by enumerating every one of them.

No function here uses a formula: each takes shapes and settings, enumerates the operation's multiplications and counts
them. The counts are tested against `naive`, which computes and counts.

Conventions: zero-padded positions count; a transposed convolution is enumerated by input position; the products of
attention are those with keys and with values, for whole score matrices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

Shape = Sequence[int]


def count(items: Iterable[object]) -> int:
    return sum(1 for _ in items)


def places(*sizes: int) -> Iterator[tuple[int, ...]]:
    return product(*map(range, sizes))


def same_padding(kernel: Shape, dilation: Shape) -> tuple[tuple[int, int], ...]:
    """Padding before and after that keeps the size at stride 1; the odd zero goes after."""
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple((t // 2, t - t // 2) for t in total)


def windows(size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int) -> list[int]:
    """Positions of a kernel's first tap along an axis for which the last tap is still within the padded input."""
    first, end = -padding[0], size + padding[1]
    return [start for start in range(first, end, stride) if start + dilation * (kernel - 1) < end]


def convolution(
    x: Shape,
    weight: Shape,
    stride: Shape,
    padding: Sequence[tuple[int, int]],
    dilation: Shape,
    groups: int,
) -> int:
    """x: N,C,*X; weight: K,C/g,*R."""
    (n, channels, *size), (out, _, *kernel) = x, weight
    axes = [windows(*axis) for axis in zip(size, kernel, stride, padding, dilation, strict=True)]
    in_group = [[c for c in range(channels) if c * groups // channels == g] for g in range(groups)]
    return count(
        None
        for _ in range(n)
        for k in range(out)
        for _ in product(*axes)
        for _ in in_group[k * groups // out]
        for _ in places(*kernel)
    )


def transposed_convolution(x: Shape, weight: Shape, groups: int) -> int:
    """x: N,C,*X; weight: C,K/g,*R. Stride, padding and dilation change where products land, not their number."""
    (n, channels, *size), (_, per_group, *kernel) = x, weight
    outs = range(per_group * groups)
    reached = [[k for k in outs if k // per_group == c * groups // channels] for c in range(channels)]
    return count(
        None
        for _ in range(n)
        for c in range(channels)
        for _ in places(*size)
        for _ in reached[c]
        for _ in places(*kernel)
    )


def linear(x: Shape, weight: Shape) -> int:
    """x: *,I; weight: O,I."""
    return count(None for _ in places(*x) for _ in range(weight[0]))


def bilinear(a: Shape, b: Shape, weight: Shape) -> int:
    """a: *,I; b: *,J; weight: O,I,J. First aᵀW, then times b."""
    out, left, right = weight
    first = count(places(*a[:-1], out, left, right))
    return first + count(places(*b[:-1], out, right))


def _broadcast(a: Shape, b: Shape) -> list[int]:
    size = max(len(a), len(b))
    left, right = ([1] * (size - len(x)) + list(x) for x in (a, b))
    return [y if x == 1 else x for x, y in zip(left, right, strict=True)]


def matmul(a: Shape, b: Shape) -> int:
    """NumPy's rules: vectors are a row and a column, batches broadcast."""
    left, right = ([1, *a] if len(a) == 1 else list(a)), ([*b, 1] if len(b) == 1 else list(b))
    assert left[-1] == right[-2]
    return count(places(*_broadcast(left[:-2], right[:-2]), left[-2], left[-1], right[-1]))


def einsum(equation: str, a: Shape, b: Shape) -> int:
    """Two operands: every assignment of all their letters is one product."""
    left, right = equation.partition("->")[0].split(",")
    sizes = dict(zip(left, a, strict=True)) | dict(zip(right, b, strict=True))
    return count(places(*sizes.values()))


def attention(q: Shape, k: Shape, v: Shape) -> int:
    """q: *,H,L,E; k: *,G,S,E; v: *,G,S,V; each of the H heads attends to the keys and values of its group."""
    (*lead, queries, width), keys, value_width = q, k[-2], v[-1]
    scores = count(places(*lead, queries, keys, width))
    return scores + count(places(*lead, queries, value_width, keys))


def multi_head_attention(batch: int, queries: int, keys: int, width: int, heads: int, kdim: int, vdim: int) -> int:
    """Four projections, and attention in `heads` heads. Keys are `kdim` wide, values `vdim`."""
    part = width // heads
    projections = (
        linear((batch, queries, width), (width, width))
        + linear((batch, keys, kdim), (width, kdim))
        + linear((batch, keys, vdim), (width, vdim))
        + linear((batch, queries, width), (width, width))
    )
    inner = (batch, heads, keys, part)
    return projections + attention((batch, heads, queries, part), inner, inner)


GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def recurrent(
    cell: str, lengths: Sequence[int], width: int, hidden: int, layers: int, bidirectional: bool, projection: int = 0
) -> int:
    """Sequences of these lengths; each step of each layer and direction multiplies by two matrices."""
    back, total, inputs = projection or hidden, 0, width
    for _ in range(layers):
        for _ in range(1 + bidirectional):
            for length in lengths:
                for _ in range(length):
                    for _ in range(GATES[cell]):
                        total += count(places(hidden, inputs)) + count(places(hidden, back))
                    total += count(places(projection, hidden))
        inputs = back * (1 + bidirectional)
    return total


def grouped_matmul(rows_of_group: Sequence[int], inner: int, out: int) -> int:
    """Rows sorted by group, each group with its own matrix."""
    return sum(count(places(rows, inner, out)) for rows in rows_of_group)
