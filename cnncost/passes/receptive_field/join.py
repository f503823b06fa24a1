"""Merge the fields of several paths: an element sees the hull over all inputs of an op."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from math import lcm, prod
from typing import NamedTuple, TypeAlias

from cnncost.ops.reach.windows import affine_window
from cnncost.passes.receptive_field.cells import Cells, moved, permuted, regrouped, union
from cnncost.passes.receptive_field.field import GLOBAL, AxisFactor, Broken, Field, Periodic, PeriodicPattern
from cnncost.passes.receptive_field.steps import compressed, gather_pattern, single, split, windowed, with_factor

Sizes: TypeAlias = tuple[int, ...]


def joined(fields: Sequence[Field]) -> Field:
    """Return the union of fields of the same shape."""
    first = fields[0]
    if all(field is first for field in fields):
        return first
    pieces, factors = _with_common_classes(_aligned(fields), None)
    exact = union([piece.exact for piece in pieces])
    common = _common_period(pieces)
    if not isinstance(common, CommonPeriod):
        if exact.count(exact[0]) == len(exact):  # as after squeeze-and-excite: all elements see the same
            factors, exact = [factor._replace(classes=1, table=None) for factor in factors], exact[:1]
        return Field(tuple(factors), pieces[0].counts, exact, common)
    periodic = PeriodicPattern(
        common.period, common.shift, union([grid for grid in _grids(pieces, common) if grid is not None])
    )
    return Field(_with_growing(factors, common.growing), pieces[0].counts, exact, periodic)


def concatenated(pieces: Sequence[Field | None], sizes: Sequence[int], axis: int) -> Field:
    """Concatenate pieces of these sizes along an axis; a piece that is None sees nothing."""
    fields_seen = [piece for piece in pieces if piece is not None]
    if any(_repeats_along(piece, axis) for piece in fields_seen):
        return _concatenated_along_growing(pieces, sizes, axis)
    with_one_factor = [_one_factor(piece, axis) for piece in fields_seen]
    own_factors = [piece.factors[piece.parts[axis].start] for piece in with_one_factor]
    # `_aligned` expects equal shapes and keeps factors above 1, so this axis gets a dummy size of 2 in all fields
    aligned = _aligned([_with_size(piece, axis, 2) for piece in with_one_factor])
    index = aligned[0].parts[axis].start
    fields, factors = _with_common_classes(aligned, index)
    factors[index] = _concatenated_factor(pieces, sizes, own_factors)
    inner = prod(fields[0].dims[index + 1 :])
    exact = _concatenated_grids(pieces, [field.exact for field in fields], [a.classes for a in own_factors], inner)
    periodic: Periodic | CommonPeriod = _common_period(fields)
    if isinstance(periodic, CommonPeriod):
        factors = list(_with_growing(factors, periodic.growing))
        dims = [periodic.period if factor.grows else factor.classes for factor in factors]
        inner, outer = prod(dims[index + 1 :]), prod(dims[:index])
        grids: list[Cells] = [
            [None] * (outer * factor.classes * inner) if grid is None else grid
            for grid, factor in zip(_grids(fields, periodic), own_factors, strict=True)
        ]
        no_gaps = len(fields_seen) == len(pieces) > 2
        if no_gaps and periodic.growing is None and (step := _constant_shift(grids, factors[index])):
            factors[index] = factors[index]._replace(grows=True)
            return compressed(Field(tuple(factors), fields[0].counts, exact, PeriodicPattern(1, step, grids[0])), index)
        periodic = PeriodicPattern(
            periodic.period, periodic.shift, _concatenated_grids(pieces, grids, [a.classes for a in own_factors], inner)
        )
    return compressed(Field(tuple(factors), fields[0].counts, exact, periodic), index)


def _constant_shift(grids: Sequence[Cells], factor: AxisFactor) -> int | None:
    """Return the shift between what successive pieces of one position see; None if it varies, or pieces are longer.

    It is constant if the positions of an axis were processed one by one and stacked again.
    """
    first, second = grids[0][0], grids[1][0]
    if first is None or second is None or not len(grids) == factor.size == factor.classes:
        return None
    step = second[0] - first[0]
    even = all(grid == [moved(cell, i * step) for cell in grids[0]] for i, grid in enumerate(grids))
    return step if even else None


def _repeats_along(field: Field, axis: int) -> bool:
    """True if the field has a periodic pattern along this axis."""
    return isinstance(field.periodic, PeriodicPattern) and any(
        factor.grows for factor in field.factors[field.parts[axis]]
    )


def _concatenated_along_growing(pieces: Sequence[Field | None], sizes: Sequence[int], axis: int) -> Field:
    """Concatenate along an axis that grows: pad each piece with positions that see nothing, then join the pieces."""
    padded, start, whole = [], 0, sum(sizes)
    for piece, size in zip(pieces, sizes, strict=True):
        if piece is not None:
            positions = [None] * start + list(range(size)) + [None] * (whole - start - size)
            padded.append(windowed(piece, axis, affine_window(axis, positions, -start)))
        start += size
    merged = joined(padded)
    if isinstance(merged.periodic, PeriodicPattern) and any(piece.periodic != padded[0].periodic for piece in padded):
        broken = Broken("parts concatenated along the axis have different patterns")
        return Field(merged.factors, merged.counts, merged.exact, broken)
    return merged


def _one_factor(field: Field, axis: int) -> Field:
    """Return the same field with exactly one factor on an axis."""
    field = single(field, axis)
    return field if field.counts[axis] else with_factor(field, axis, AxisFactor(1))


def _with_size(field: Field, axis: int, size: int) -> Field:
    index = field.parts[axis].start
    factors = (*field.factors[:index], field.factors[index]._replace(size=size), *field.factors[index + 1 :])
    return Field(factors, field.counts, field.exact, field.periodic)


def _concatenated_factor(
    pieces: Sequence[Field | None], sizes: Sequence[int], factors: Sequence[AxisFactor]
) -> AxisFactor:
    """Return the factor of the concatenated axis: the classes of all pieces, one after another."""
    table: list[int] = []
    remaining, classes = iter(factors), 0
    for piece, size in zip(pieces, sizes, strict=True):
        factor = AxisFactor(size) if piece is None else next(remaining)
        table += [classes + c for c in factor.lookup]
        classes += factor.classes
    return AxisFactor(len(table), classes, tuple(table), any(a.grows for a in factors))


def _concatenated_grids(
    pieces: Sequence[Field | None], grids: Sequence[Cells], classes: Sequence[int], inner: int
) -> Cells:
    """Concatenate grids along an axis, with a row of None for each piece that sees nothing.

    `classes` has the length of each grid along the axis, `inner` is the number of cells per index along it.
    """
    outer = len(grids[0]) // (classes[0] * inner)
    cells: Cells = []
    for i in range(outer):
        present = iter(zip(grids, classes, strict=True))
        for piece in pieces:
            if piece is None:
                cells += [None] * inner
            else:
                grid, n = next(present)
                cells += grid[i * n * inner : (i + 1) * n * inner]
    return cells


def _with_common_classes(fields: Sequence[Field], unchanged: int | None) -> tuple[list[Field], list[AxisFactor]]:
    """Give all fields the same classes in each factor, except in the factor with the index `unchanged`.

    Return the fields and the common factors.
    """
    pieces, factors = list(fields), []
    for index in range(len(pieces[0].factors)):
        if index == unchanged:
            factors.append(pieces[0].factors[index])
            continue
        factor, groups = _common_classes([piece.factors[index] for piece in pieces])
        factors.append(factor)
        pieces = [
            piece if each is None else _with_classes(piece, index, factor, each)
            for piece, each in zip(pieces, groups, strict=True)
        ]
    return pieces, factors


def _with_growing(factors: Sequence[AxisFactor], growing: int | None) -> tuple[AxisFactor, ...]:
    """Set `grows` of the factor at the index `growing`, and clear it in all others."""
    return tuple(factor._replace(grows=index == growing) for index, factor in enumerate(factors))


# ---- common factors


def _aligned(fields: Sequence[Field]) -> list[Field]:
    """Split and merge factors so that all fields, which have the same shape, have factors of the same sizes."""
    sizes = {tuple(factor.size for factor in field.factors) for field in fields}
    if len(sizes) == 1 and len({field.counts for field in fields}) == 1:
        return list(fields)
    for axis in range(len(fields[0].counts)):
        common = reduce(_refined, [_sizes(field, axis) for field in fields])
        if any(not _divides(_sizes(field, axis), common) for field in fields):
            fields = [single(field, axis) for field in fields]
            common = reduce(_refined, [_sizes(field, axis) for field in fields])
        ones = max(sum(a.size == 1 for a in field.factors[field.parts[axis]]) for field in fields)
        fields = [_split_axis(field, axis, common, ones) for field in fields]
    return list(fields)


def _sizes(field: Field, axis: int) -> Sizes:
    """Sizes of the factors of an axis, without those of size 1."""
    return tuple(factor.size for factor in field.factors[field.parts[axis]] if factor.size > 1)


def _ends(sizes: Sizes) -> set[int]:
    """Return the products of the innermost sizes, from none to all: the points at which the factors divide the axis."""
    return {prod(sizes[i:]) for i in range(len(sizes) + 1)}


def _refined(a: Sizes, b: Sizes) -> Sizes:
    """Return the factor sizes of an axis divided at the points of both; only valid if `_divides` holds for both."""
    ends = sorted(_ends(a) | _ends(b))
    return tuple(reversed([after // before for before, after in pairwise(ends)]))


def _divides(sizes: Sizes, finer: Sizes) -> bool:
    """True if factors of these sizes can be split into factors of the `finer` sizes."""
    return prod(sizes) == prod(finer) and _ends(sizes) <= _ends(finer)


def _split_axis(field: Field, axis: int, finer: Sizes, ones: int) -> Field:
    """Split the axis into factors of the `finer` sizes, followed by `ones` factors of size 1."""
    part = field.parts[axis]
    large = [i for i in range(part.start, part.stop) if field.factors[i].size > 1]
    small = [i for i in range(part.start, part.stop) if field.factors[i].size == 1]
    order = [*range(part.start), *large, *small, *range(part.stop, len(field.factors))]
    extra = (AxisFactor(1),) * (ones - len(small))
    periodic = field.periodic
    if isinstance(periodic, PeriodicPattern):
        periodic = periodic._replace(cells=permuted(periodic.cells, field.periodic_dims, order))
    factors = [field.factors[i] for i in order]
    factors[part.stop : part.stop] = extra
    counts = tuple(n + len(extra) * (i == axis) for i, n in enumerate(field.counts))
    field = Field(tuple(factors), counts, field.exact, periodic)
    index = part.start + len(large) - 1
    for size in reversed(finer):
        if field.factors[index].size != size:
            field = split(field, index, size)  # `index` is then the outer part's
        else:
            index -= 1
    return field


# ---- common classes


def _common_classes(factors: Sequence[AxisFactor]) -> tuple[AxisFactor, list[list[tuple[int]] | None]]:
    """Return the common refinement of the factors' classes, and for each factor the old class of each new one.

    None stands for a factor whose classes are unchanged.
    """
    size, grows = factors[0].size, any(a.grows for a in factors)
    first = factors[0]
    if all(factor.classes == first.classes and factor.table == first.table for factor in factors):
        return first._replace(grows=grows), [None] * len(factors)
    if any(factor.classes == size and factor.table is None for factor in factors):
        new_factor = AxisFactor(size, size, None, grows)
        return new_factor, [
            None if a.classes == size and a.table is None else [(c,) for c in a.lookup] for a in factors
        ]
    classes: dict[tuple[int, ...], int] = {}
    table = tuple([classes.setdefault(each, len(classes)) for each in zip(*(a.lookup for a in factors), strict=True)])
    new_factor = AxisFactor(size, len(classes), None if len(classes) == 1 else table, grows)
    return new_factor, [[(key[i],) for key in classes] for i in range(len(factors))]


def _with_classes(field: Field, index: int, factor: AxisFactor, groups: list[tuple[int]]) -> Field:
    """Return the field with the finer classes of `factor`; along a growing factor the pattern keeps its period."""
    own = field.factors[index]
    exact = regrouped(field.exact, field.dims, index, groups)
    periodic = field.periodic
    if isinstance(periodic, PeriodicPattern) and not own.grows:
        periodic = periodic._replace(cells=regrouped(periodic.cells, field.periodic_dims, index, groups))
    new_factor = AxisFactor(factor.size, factor.classes, factor.table, own.grows)
    factors = (*field.factors[:index], new_factor, *field.factors[index + 1 :])
    return Field(factors, field.counts, exact, periodic)


# ---- common pattern


class CommonPeriod(NamedTuple):
    """Period and shift common to several patterns; `growing` is the index of the factor that they repeat along."""

    period: int
    shift: int
    growing: int | None


def _common_period(fields: Sequence[Field]) -> CommonPeriod | Periodic:
    """Return the common period and shift of the fields' patterns, or GLOBAL, or why there is no common pattern."""
    patterns = [field.periodic for field in fields]
    if any(periodic is GLOBAL for periodic in patterns):
        return GLOBAL
    if broken := next((periodic for periodic in patterns if isinstance(periodic, Broken)), None):
        return broken
    periodic_fields = [
        (field, periodic)
        for field, periodic in zip(fields, patterns, strict=True)
        if isinstance(periodic, PeriodicPattern)
    ]
    seeing = [(field, periodic) for field, periodic in periodic_fields if _sees(periodic)] or periodic_fields[:1]
    growing = {field.growing for field, _ in seeing}
    if len(growing) > 1:
        return Broken("paths don't align: one lies along another axis, or selects fixed positions")
    jumps = {Fraction(periodic.shift, periodic.period) for _, periodic in seeing}
    if len(jumps) > 1:
        return Broken(f"paths don't align: they meet with jumps of {' and '.join(map(str, sorted(jumps)))}")
    period = lcm(*(periodic.period for _, periodic in seeing))
    return CommonPeriod(period, int(period * jumps.pop()), growing.pop())


def _sees(periodic: PeriodicPattern) -> bool:
    return any(cell is not None for cell in periodic.cells)


def _grids(fields: Sequence[Field], common: CommonPeriod) -> list[Cells | None]:
    """Return the patterns' grids over the common period; None for one that sees nothing, unless that is true of all."""
    grids = [
        _grid(field, common) if isinstance(field.periodic, PeriodicPattern) and _sees(field.periodic) else None
        for field in fields
    ]
    if all(grid is None for grid in grids):
        grids[0] = _grid(fields[0], common)
    return grids


def _grid(field: Field, common: CommonPeriod) -> Cells:
    assert isinstance(field.periodic, PeriodicPattern)
    if field.periodic.period == common.period:  # always so without a growing factor: the period is 1
        return field.periodic.cells
    return gather_pattern(field, [[i] for i in range(common.period)])
