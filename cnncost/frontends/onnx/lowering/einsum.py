"""Einsum as batches of matrix products."""

from __future__ import annotations

from math import prod
from typing import Any, TypeAlias

from cnncost.frontends.onnx.lowering.registry import Op, Outputs, Ref, Source, lowers

Operand: TypeAlias = "tuple[Source, str]"
"""A tensor, and the letters of its axes in the equation."""


@lowers("Einsum", weights=tuple(range(8)))  # any operand may be a weight
def einsum(op: Op) -> Outputs | None:
    """Sum the axes that only one tensor has, then multiply the tensors one by one, as batches of matrix products.

    The equation fixes no order. Like ONNX Runtime, this multiplies from left to right and sums an axis as soon as no
    later tensor has it. Axes of size 1 broadcast and are dropped; a letter repeated in one term takes the diagonal.
    """
    terms = _equation(op)
    if terms is None or len(set(terms[1])) < len(terms[1]):
        return None
    inputs, out = terms
    sizes: dict[str, int] = {}
    for i, term in enumerate(inputs):
        for letter, size in zip(term, op.x(i).shape, strict=True):
            known = sizes.setdefault(letter, size)
            if known != size and (1 not in (known, size) or term.count(letter) > 1):
                return None
            sizes[letter] = size if known == 1 else known
    kept = [_drop_broadcast(op, *_diagonal(op, i, term), sizes) for i, term in enumerate(inputs)]
    sides: list[Operand] = []
    for i, (source, term) in enumerate(kept):
        others = {*out, *(letter for k, (_, t) in enumerate(kept) if k != i for letter in t)}
        sides.append(_sum_unshared(op, source, term, others))
    result = sides[0]
    for i, side in enumerate(sides[1:], 1):
        needed = {*out, *(letter for _, term in sides[i + 1 :] for letter in term)}
        wanted = "".join(dict.fromkeys(letter for letter in result[1] + side[1] if letter in needed))
        result = _multiply(op, result, side, out if i == len(sides) - 1 else wanted, sizes)
    return [_permute(op, *result, out)] if len(sides) == 1 else [result[0]]


def _diagonal(op: Op, i: int, term: str) -> Operand:
    """Replace an input with a repeated letter by its diagonal."""
    kept = "".join(dict.fromkeys(term))
    if kept == term:
        return i, term
    x = op.x(i)
    to = x._replace(shape=tuple(x.shape[term.index(letter)] for letter in kept))
    return op.move(i, None, to, copy=True), kept


def _equation(op: Op) -> tuple[list[str], str] | None:
    """Return the letters of each input and of the output, with Greek capitals in place of an ellipsis.

    None if the equation doesn't fit the inputs.
    """
    text = op.get("equation", "").replace(" ", "")
    left, arrow, out = text.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(op.inputs):
        return None
    free = [c for c in "ΑΒΓΔΕΖΗΘ" if c not in text]
    widths = [len(op.x(i).shape) - len(t.replace("...", "")) for i, t in enumerate(inputs) if "..." in t]
    if widths and (len(set(widths)) > 1 or max(widths) > len(free)):
        return None
    dots = "".join(free[: widths[0]]) if widths else ""
    inputs = [t.replace("...", dots) for t in inputs]
    if not arrow:
        letters = [c for c in left if c.isalpha()]
        out = dots + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    return inputs, out.replace("...", dots)


def _drop_broadcast(op: Op, source: Source, term: str, sizes: dict[str, int]) -> Operand:
    """Drop the axes of size 1 that another input has at full size."""
    shape = op.type_of(source).shape
    kept = [axis for axis, letter in enumerate(term) if shape[axis] == sizes[letter]]
    return op.reshaped(source, tuple(shape[axis] for axis in kept)), "".join(term[axis] for axis in kept)


def _sum_unshared(op: Op, source: Source, term: str, others: set[str]) -> Operand:
    """Sum the axes that neither the output nor another input has."""
    alone = tuple(axis for axis, letter in enumerate(term) if letter not in others)
    if not alone:
        return source, term
    x = op.type_of(source)
    to = x._replace(shape=tuple(n for axis, n in enumerate(x.shape) if axis not in alone))
    kept = "".join(letter for axis, letter in enumerate(term) if axis not in alone)
    return op.step("reduce", {"fn": "sum", "dim": alone, "keepdim": False}, [source], to), kept


def _permute(op: Op, source: Source, letters: str, wanted: str) -> Ref:
    """Permute the axes `letters` into the order `wanted`."""
    order = tuple(letters.index(letter) for letter in wanted)
    return op.permuted(source, order)


def _multiply(op: Op, first: Operand, second: Operand, out: str, sizes: dict[str, int]) -> Operand:
    """Multiply two tensors; the result has the axes `out`, and other axes are summed."""
    (a, left), (b, right) = first, second
    batch = [c for c in out if c in left and c in right]
    inner = [c for c in left if c in right and c not in batch]
    rows, columns = [c for c in left if c not in right], [c for c in right if c not in left]
    if not inner:  # no axis is summed: an elementwise product
        aligned: list[Source] = []
        for source, letters in (first, second):
            moved = _permute(op, source, letters, "".join(c for c in out if c in letters))
            aligned.append(op.reshaped(moved, tuple(sizes[c] if c in letters else 1 for c in out)))
        return op.pointwise("mul", aligned, tuple(sizes[c] for c in out)), out

    def flat(source: Source, letters: str, groups: tuple[Any, ...]) -> Source:
        moved = _permute(op, source, letters, "".join(c for group in groups for c in group))
        return op.reshaped(moved, tuple(prod(sizes[c] for c in group) for group in groups))

    lhs, rhs = flat(a, left, (batch, rows, inner)), flat(b, right, (batch, inner, columns))
    n, m, k, p = (prod(sizes[c] for c in group) for group in (batch, rows, inner, columns))
    result = op.step("matmul", {"batch": n, "m": m, "k": k, "n": p, "bias": False}, [lhs, rhs],
                   op.y()._replace(shape=(n, m, p)))  # fmt: skip
    letters = "".join([*batch, *rows, *columns])
    return _permute(op, op.reshaped(result, tuple(sizes[c] for c in letters)), letters, out), out
