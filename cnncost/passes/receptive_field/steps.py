"""Apply the steps of a reach rule to a field: windows, reductions, and splitting and merging of factors."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, prod

from cnncost.graph import Shape
from cnncost.ops.reach import Window
from cnncost.passes.receptive_field.cells import Cell, Cells, moved, permuted, regrouped
from cnncost.passes.receptive_field.field import GLOBAL, AxisFactor, Broken, Field, Periodic, PeriodicPattern

# ---- one factor


def gather_pattern(field: Field, positions: Sequence[Sequence[int]]) -> Cells:
    """Return the pattern's grid along the growing factor: position j is the hull of the pattern's `positions[j]`."""
    periodic, axis = field.periodic, field.growing
    assert isinstance(periodic, PeriodicPattern)
    assert axis is not None
    laps = sorted({i // periodic.period for each in positions for i in each})  # the needed repetitions
    first = {lap: n * periodic.period for n, lap in enumerate(laps)}  # where each of them begins in the new grid
    dims = field.periodic_dims
    block = periodic.period * prod(dims[axis + 1 :])
    grid = [
        moved(cell, periodic.shift * lap)
        for start in range(0, len(periodic.cells), block)
        for lap in laps
        for cell in periodic.cells[start : start + block]
    ]
    groups = [[first[i // periodic.period] + i % periodic.period for i in each] for each in positions]
    grid_dims = [*dims[:axis], periodic.period * len(laps), *dims[axis + 1 :]]
    return regrouped(grid, grid_dims, axis, groups)


def windowed(field: Field, axis: int, window: Window) -> Field:
    """Return the field after windows along an axis."""
    field = single(field, axis)
    part = field.parts[axis]
    index = part.start
    if part.start == part.stop:  # an axis of size 1 without a factor
        field = with_factor(field, axis, AxisFactor(1))
    factor = field.factors[index]
    size = len(window.sees)
    grows = factor.grows and not _selects_fixed(window)
    if factor.grows and isinstance(field.periodic, PeriodicPattern):
        exact = regrouped(field.exact, field.dims, index, window.sees)
        after = _replaced(field, index, AxisFactor(size, size, None, grows), exact, _pattern_after(field, window))
        if grows or not isinstance(after.periodic, PeriodicPattern):
            return after
        return _one_cell_per_position(after, index)
    if window.grows and factor.grows:
        field = Field(field.factors, field.counts, field.exact, GLOBAL)
    if factor.classes == 1 and all(window.sees):
        return _replaced(field, index, AxisFactor(size, 1, None, grows), field.exact, field.periodic)
    table, groups = _regrouping(factor, window)
    new_factor = AxisFactor(size, len(groups), None if len(groups) == 1 else table, grows)
    return _replaced(
        field,
        index,
        new_factor,
        regrouped(field.exact, field.dims, index, groups),
        _periodic_regrouped(field, index, groups),
    )


def _selects_fixed(window: Window) -> bool:
    """True if the window sees the same positions whatever the size of the axis, as `x[:, :3]` does."""
    return window.pattern is not None and window.pattern.shift == 0


def _one_cell_per_position(field: Field, index: int) -> Field:
    """Replace a pattern by one cell per position: it doesn't repeat after a window that selects fixed positions."""
    periodic, size = field.periodic, field.factors[index].size
    assert isinstance(periodic, PeriodicPattern)
    dims = [*field.periodic_dims[:index], periodic.period, *field.periodic_dims[index + 1 :]]
    cells = regrouped(periodic.cells, dims, index, [(j % periodic.period,) for j in range(size)])
    return Field(field.factors, field.counts, field.exact, PeriodicPattern(1, 0, cells))


def _regrouping(factor: AxisFactor, window: Window) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Return the class of each position after windows, and for each class the old classes that it sees."""
    if factor.classes == 1:  # class 0 sees what the old class does, class 1 nothing, as in padding
        table = tuple([0 if each else 1 for each in window.sees])
        return (table, [(0,), ()]) if 0 in table else ((0,) * len(table), [()])
    lookup = factor.lookup
    classes: dict[tuple[int, ...], int] = {}
    keys = [(lookup[each[0]],) if len(each) == 1 else tuple(sorted({lookup[i] for i in each})) for each in window.sees]
    table = tuple([classes.setdefault(key, len(classes)) for key in keys])
    return table, list(classes)


def _pattern_after(field: Field, window: Window) -> Periodic:
    """Return the pattern after windows along the growing factor."""
    periodic, pattern = field.periodic, window.pattern
    if window.grows:
        return GLOBAL
    if not isinstance(periodic, PeriodicPattern):
        return periodic
    if pattern is None:
        return Broken("its positions are selected without a regular pattern")
    laps = periodic.period // gcd(periodic.period, pattern.shift)  # repetitions until both periods end
    period = pattern.period * laps
    positions = [
        [pattern.shift * (j // pattern.period) + t for t in pattern.taps[j % pattern.period]] for j in range(period)
    ]
    return _shortest_period(
        field,
        PeriodicPattern(
            period, periodic.shift * (pattern.shift * laps // periodic.period), gather_pattern(field, positions)
        ),
    )


def _shortest_period(field: Field, periodic: PeriodicPattern) -> PeriodicPattern:
    """Return the same pattern with its shortest period."""
    axis = field.growing
    assert axis is not None
    inner = prod(field.periodic_dims[axis + 1 :])
    block = periodic.period * inner
    for period in range(1, periodic.period):
        if periodic.period % period or periodic.shift * period % periodic.period:
            continue
        shift = periodic.shift * period // periodic.period
        width = period * inner
        if all(
            periodic.cells[start + i + width] == moved(periodic.cells[start + i], shift)
            for start in range(0, len(periodic.cells), block)
            for i in range(block - width)
        ):
            return PeriodicPattern(
                period, shift, [c for s in range(0, len(periodic.cells), block) for c in periodic.cells[s : s + width]]
            )
    return periodic


def _periodic_regrouped(field: Field, index: int, groups: Sequence[Sequence[int]]) -> Periodic:
    periodic = field.periodic
    if not isinstance(periodic, PeriodicPattern):
        return periodic
    return periodic._replace(cells=regrouped(periodic.cells, field.periodic_dims, index, groups))


def _replaced(field: Field, index: int, factor: AxisFactor, exact: Cells, periodic: Periodic) -> Field:
    """Return the field with another factor at an index, and other grids."""
    return Field((*field.factors[:index], factor, *field.factors[index + 1 :]), field.counts, exact, periodic)


def with_factor(field: Field, axis: int, factor: AxisFactor) -> Field:
    """Append a factor of one class to those of an axis."""
    end = field.parts[axis].stop
    counts = tuple(n + (i == axis) for i, n in enumerate(field.counts))
    return Field((*field.factors[:end], factor, *field.factors[end:]), counts, field.exact, field.periodic)


def reduced(field: Field, axis: int) -> Field:
    """Reduce an axis to one position that sees all of it."""
    part = field.parts[axis]
    exact, periodic, dims, periodic_dims = field.exact, field.periodic, list(field.dims), list(field.periodic_dims)
    for i in range(part.start, part.stop):
        everything = [range(dims[i])]
        if field.factors[i].grows:
            periodic = GLOBAL
        elif isinstance(periodic, PeriodicPattern) and periodic_dims[i] > 1:
            periodic = periodic._replace(cells=regrouped(periodic.cells, periodic_dims, i, [range(periodic_dims[i])]))
        if dims[i] > 1:
            exact = regrouped(exact, dims, i, everything)
        dims[i] = periodic_dims[i] = 1
    counts = tuple(0 if i == axis else n for i, n in enumerate(field.counts))
    return Field((*field.factors[: part.start], *field.factors[part.stop :]), counts, exact, periodic)


def spread(field: Field, axis: int, size: int) -> Field:
    """Expand an axis of one position to `size` positions that see the same."""
    part = field.parts[axis]
    periodic = field.periodic
    if any(field.factors[i].grows for i in range(part.start, part.stop)) and isinstance(periodic, PeriodicPattern):
        periodic = PeriodicPattern(1, 0, gather_pattern(field, [[0]]))  # no factor grows any more
    spread_factors = (AxisFactor(size),) if size > 1 else ()
    counts = tuple(len(spread_factors) if i == axis else n for i, n in enumerate(field.counts))
    factors = (*field.factors[: part.start], *spread_factors, *field.factors[part.stop :])
    return Field(factors, counts, field.exact, periodic)


# ---- all axes


def permute(field: Field, order: Sequence[int]) -> Field:
    """Permute the axes."""
    parts = field.parts
    places = [i for axis in order for i in range(parts[axis].start, parts[axis].stop)]
    periodic = field.periodic
    if isinstance(periodic, PeriodicPattern):
        periodic = periodic._replace(cells=permuted(periodic.cells, field.periodic_dims, places))
    exact = permuted(field.exact, field.dims, places)
    return Field(tuple(field.factors[i] for i in places), tuple(field.counts[axis] for axis in order), exact, periodic)


def expanded(field: Field, index: int) -> Field:
    """Return the same field with one class per position of a factor."""
    factor = field.factors[index]
    if factor.classes == factor.size and factor.table is None:
        return field
    groups = [(c,) for c in factor.lookup]
    new_factor = AxisFactor(factor.size, factor.size, None, factor.grows)
    exact = regrouped(field.exact, field.dims, index, groups)
    return _replaced(field, index, new_factor, exact, _periodic_regrouped(field, index, groups))


def single(field: Field, axis: int) -> Field:
    """Return the same field with at most one factor on an axis."""
    part = field.parts[axis]
    if part.stop - part.start < 2:
        return field
    factors = field.factors[part]
    size = prod(factor.size for factor in factors)
    counts = tuple(1 if i == axis else n for i, n in enumerate(field.counts))
    grows = any(factor.grows for factor in factors)
    if not (grows and isinstance(field.periodic, PeriodicPattern)) and all(factor.classes == 1 for factor in factors):
        all_factors = (*field.factors[: part.start], AxisFactor(size, 1, None, grows), *field.factors[part.stop :])
        return Field(all_factors, counts, field.exact, field.periodic)
    for i in range(part.start, part.stop):
        field = expanded(field, i)
    periodic = _merged_pattern(field, part)
    all_factors = (*field.factors[: part.start], AxisFactor(size, size, None, grows), *field.factors[part.stop :])
    return compressed(Field(all_factors, counts, field.exact, periodic), part.start)


def _merged_pattern(field: Field, part: slice) -> Periodic:
    """Return the pattern after merging an axis's factors; Broken if a factor precedes the one that grows."""
    periodic, growing = field.periodic, field.growing
    if not isinstance(periodic, PeriodicPattern) or growing is None or not part.start <= growing < part.stop:
        return periodic
    if any(field.factors[i].size > 1 for i in range(part.start, growing)):
        return Broken("its axis became the inner part of a longer one")
    inner = prod(field.factors[i].size for i in range(growing + 1, part.stop))
    return _shortest_merged(field, PeriodicPattern(periodic.period * inner, periodic.shift, periodic.cells), part)


def _shortest_merged(field: Field, periodic: PeriodicPattern, part: slice) -> PeriodicPattern:
    """Return a pattern with its shortest period; `part`, an axis of the field, is one factor of the pattern's grid."""
    merged = AxisFactor(periodic.period, periodic.period, None, True)
    factors = (*field.factors[: part.start], merged, *field.factors[part.stop :])
    return _shortest_period(Field(factors, (len(factors),), [], periodic), periodic)  # the exact grid is not read


def compressed(field: Field, index: int) -> Field:
    """Merge positions of a factor that see the same into one class, unless the pattern repeats along this factor."""
    factor = field.factors[index]
    if (factor.grows and isinstance(field.periodic, PeriodicPattern)) or factor.classes == 1:
        return field
    columns = _columns(field.exact, field.dims, index)
    if isinstance(field.periodic, PeriodicPattern):
        pattern_columns = _columns(field.periodic.cells, field.periodic_dims, index)
        columns = [a + b for a, b in zip(columns, pattern_columns, strict=True)]
    classes: dict[tuple[Cell, ...], int] = {}
    numbers = [classes.setdefault(column, len(classes)) for column in columns]
    if len(classes) == factor.classes:
        return field
    groups = [(numbers.index(c),) for c in range(len(classes))]
    table = None if len(classes) == 1 else tuple(numbers[c] for c in factor.lookup)
    new_factor = AxisFactor(factor.size, len(classes), table, factor.grows)
    exact = regrouped(field.exact, field.dims, index, groups)
    return _replaced(field, index, new_factor, exact, _periodic_regrouped(field, index, groups))


def _columns(cells: Cells, dims: Sequence[int], axis: int) -> list[tuple[Cell, ...]]:
    """Return the cells at each position of an axis, as a hashable tuple."""
    n, inner = dims[axis], prod(dims[axis + 1 :])
    starts = range(0, len(cells), n * inner)
    return [tuple([c for s in starts for c in cells[s + i * inner : s + (i + 1) * inner]]) for i in range(n)]


def split(field: Field, index: int, inner: int) -> Field:
    """Split a factor into two, the second of size `inner`."""
    factor = field.factors[index]
    outer = factor.size // inner
    axis = next(i for i, part in enumerate(field.parts) if part.start <= index < part.stop)
    counts = tuple(n + (i == axis) for i, n in enumerate(field.counts))
    if factor.classes == 1 and not (factor.grows and isinstance(field.periodic, PeriodicPattern)):
        pair = (AxisFactor(outer, 1, None, factor.grows), AxisFactor(inner))
        return Field((*field.factors[:index], *pair, *field.factors[index + 1 :]), counts, field.exact, field.periodic)
    had_table = factor.table is not None
    field = expanded(field, index)
    periodic = field.periodic
    if factor.grows and isinstance(periodic, PeriodicPattern):
        laps = periodic.period // gcd(periodic.period, inner)  # outer positions after which a period ends, too
        periodic = PeriodicPattern(
            laps,
            periodic.shift * (inner * laps // periodic.period),
            gather_pattern(field, [[i] for i in range(laps * inner)]),
        )
    pair = (AxisFactor(outer, outer, None, factor.grows), AxisFactor(inner, inner))
    result = Field((*field.factors[:index], *pair, *field.factors[index + 1 :]), counts, field.exact, periodic)
    return compressed(compressed(result, index), index + 1) if had_table else result


def reshape(field: Field, shape: Shape) -> Field:
    """Reshape in row-major order: distribute factors over new axes, splitting or merging them if needed.

    Leading and trailing axes that both shapes have keep their factors: an image of one row stays on its own axis.
    """
    if field.shape == shape:
        return field
    before, after = _common_ends(field.shape, shape)
    counts_after = field.counts[len(field.counts) - after :]
    # factors `low` to `end` belong to the axes in between
    low = field.parts[before].start if before < len(field.parts) else len(field.factors)
    end = len(field.factors) - sum(counts_after)
    flat, counts = Field(field.factors, (len(field.factors),), field.exact, field.periodic), []
    # from the innermost axis outwards: its factors are those from `start` to `end`; a factor of `need` is missing
    for size in reversed(shape[before : len(shape) - after]):
        need, start = size, end
        while True:
            if start > low and flat.factors[start - 1].size == 1:
                start -= 1
            elif need == 1:
                break
            elif need % flat.factors[start - 1].size == 0:
                start -= 1
                need //= flat.factors[start].size
            else:
                flat, added = _cut(flat, low, start, need)
                start, end = start + added, end + added
        counts.append(end - start)
        end = start
    if not shape:  # drop the remaining factors of size 1
        scalar = spread(flat, 0, 1)
        return Field(scalar.factors, (), scalar.exact, scalar.periodic)
    new_counts = [*field.counts[:before], *reversed(counts), *counts_after]
    new_counts[max(before - 1, 0)] += end - low  # factors of size 1 that none of the new axes took
    return Field(flat.factors, tuple(new_counts), flat.exact, flat.periodic)


def _common_ends(old: Shape, new: Shape) -> tuple[int, int]:
    """Return the numbers of leading and of trailing axes that two shapes share."""
    most = min(len(old), len(new))
    after = next((i for i in range(most) if old[-1 - i] != new[-1 - i]), most)
    return next((i for i in range(most - after) if old[i] != new[i]), most - after), after


def _cut(flat: Field, low: int, end: int, need: int) -> tuple[Field, int]:
    """Split a factor of size `need` off before `end`, or else merge those from `low` on; return how many were added."""
    factor = flat.factors[end - 1]
    if factor.size % need == 0:
        return split(flat, end - 1, need), 1
    whole = Field(flat.factors, (low, end - low, len(flat.factors) - end), flat.exact, flat.periodic)
    merged = single(whole, 1)
    return Field(merged.factors, (len(merged.factors),), merged.exact, merged.periodic), 1 - (end - low)
