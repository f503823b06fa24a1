"""Apply the steps of a reach rule to a field: windows, reductions, and splitting and merging of atoms."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, prod

from cnncost.graph import Shape
from cnncost.ops.reach import Window
from cnncost.passes.receptive_field.cells import Cell, Cells, moved, permuted, regrouped
from cnncost.passes.receptive_field.field import GLOBAL, Atom, Broken, Field, Law, Rule

# ---- one atom


def law_taken(field: Field, positions: Sequence[Sequence[int]]) -> Cells:
    """The law's grid at these positions of the image atom, each the hull of several."""
    law, axis = field.law, field.image
    assert isinstance(law, Law)
    assert axis is not None
    laps = sorted({i // law.period for each in positions for i in each})
    place = {lap: n * law.period for n, lap in enumerate(laps)}
    dims = field.law_dims
    rows = [
        [moved(cell, law.shift * lap) for cell in law.cells[start : start + law.period * prod(dims[axis + 1 :])]]
        for start in range(0, len(law.cells), law.period * prod(dims[axis + 1 :]))
        for lap in laps
    ]
    grid = [cell for row in rows for cell in row]
    groups = [[place[i // law.period] + i % law.period for i in each] for each in positions]
    wide = [*dims[:axis], law.period * len(laps), *dims[axis + 1 :]]
    return regrouped(grid, wide, axis, groups)


def windowed(field: Field, axis: int, window: Window) -> Field:
    """The field after windows along an axis."""
    field = single(field, axis)
    part = field.parts[axis]
    index = part.start
    if part.start == part.stop:  # an axis of size 1 without an atom
        field = with_atom(field, axis, Atom(1))
    atom = field.atoms[index]
    size = len(window.sees)
    image = atom.image and not _fixed(window)
    if atom.image and isinstance(field.law, Law):
        exact = regrouped(field.exact, field.dims, index, window.sees)
        taken = _replaced(field, index, Atom(size, size, None, image), exact, _composed(field, window))
        return _of_fixed(taken, index) if not image and isinstance(taken.law, Law) else taken
    if window.grows and atom.image:
        field = Field(field.atoms, field.counts, field.exact, GLOBAL)
    if atom.classes == 1 and all(window.sees):
        return _replaced(field, index, Atom(size, 1, None, image), field.exact, field.law)
    table, groups = _regrouping(atom, window)
    made = Atom(size, len(groups), None if len(groups) == 1 else table, image)
    return _replaced(
        field, index, made, regrouped(field.exact, field.dims, index, groups), _law_regrouped(field, index, groups)
    )


def _fixed(window: Window) -> bool:
    """Whether the window selects the same positions whatever the size of the axis."""
    return window.pattern is not None and window.pattern.shift == 0


def _of_fixed(field: Field, index: int) -> Field:
    """Replace a repeating law by one with a cell for each position, as the window selects fixed positions."""
    law, size = field.law, field.atoms[index].size
    assert isinstance(law, Law)
    dims = [*field.law_dims[:index], law.period, *field.law_dims[index + 1 :]]
    cells = regrouped(law.cells, dims, index, [(j % law.period,) for j in range(size)])
    return Field(field.atoms, field.counts, field.exact, Law(1, 0, cells))


def _regrouping(atom: Atom, window: Window) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """The new class of each position, and the old classes that each new class sees."""
    if atom.classes == 1:
        table = tuple([0 if each else 1 for each in window.sees])
        return (table, [(0,), ()]) if 0 in table else ((0,) * len(table), [()])
    lookup = atom.lookup
    classes: dict[tuple[int, ...], int] = {}
    keys = [(lookup[each[0]],) if len(each) == 1 else tuple(sorted({lookup[i] for i in each})) for each in window.sees]
    table = tuple([classes.setdefault(key, len(classes)) for key in keys])
    return table, list(classes)


def _composed(field: Field, window: Window) -> Rule:
    """The law after windows along the image atom."""
    law, pattern = field.law, window.pattern
    if window.grows:
        return GLOBAL
    if not isinstance(law, Law):
        return law
    if pattern is None:
        return Broken("its positions are taken without one rule")
    laps = law.period // gcd(law.period, pattern.shift)
    period = pattern.period * laps
    positions = [
        [pattern.shift * (j // pattern.period) + t for t in pattern.taps[j % pattern.period]] for j in range(period)
    ]
    return _least(field, Law(period, law.shift * (pattern.shift * laps // law.period), law_taken(field, positions)))


def _least(field: Field, law: Law) -> Law:
    """The same law with its shortest period."""
    axis = field.image
    assert axis is not None
    inner = prod(field.law_dims[axis + 1 :])
    block = law.period * inner
    for period in range(1, law.period):
        if law.period % period or law.shift * period % law.period:
            continue
        shift = law.shift * period // law.period
        width = period * inner
        if all(
            law.cells[start + i + width] == moved(law.cells[start + i], shift)
            for start in range(0, len(law.cells), block)
            for i in range(block - width)
        ):
            return Law(period, shift, [c for s in range(0, len(law.cells), block) for c in law.cells[s : s + width]])
    return law


def _law_regrouped(field: Field, index: int, groups: Sequence[Sequence[int]]) -> Rule:
    law = field.law
    if not isinstance(law, Law):
        return law
    return law._replace(cells=regrouped(law.cells, field.law_dims, index, groups))


def _replaced(field: Field, index: int, atom: Atom, exact: Cells, law: Rule) -> Field:
    return Field((*field.atoms[:index], atom, *field.atoms[index + 1 :]), field.counts, exact, law)


def with_atom(field: Field, axis: int, atom: Atom) -> Field:
    """Append an atom of one class to those of an axis."""
    end = field.parts[axis].stop
    counts = tuple(n + (i == axis) for i, n in enumerate(field.counts))
    return Field((*field.atoms[:end], atom, *field.atoms[end:]), counts, field.exact, field.law)


def reduced(field: Field, axis: int) -> Field:
    """Reduce an axis to one position that sees all of it."""
    part = field.parts[axis]
    exact, law, dims, law_dims = field.exact, field.law, list(field.dims), list(field.law_dims)
    for i in range(part.start, part.stop):
        everything = [range(dims[i])]
        if field.atoms[i].image:
            law = GLOBAL
        elif isinstance(law, Law) and law_dims[i] > 1:
            law = law._replace(cells=regrouped(law.cells, law_dims, i, [range(law_dims[i])]))
        if dims[i] > 1:
            exact = regrouped(exact, dims, i, everything)
        dims[i] = law_dims[i] = 1
    counts = tuple(0 if i == axis else n for i, n in enumerate(field.counts))
    return Field((*field.atoms[: part.start], *field.atoms[part.stop :]), counts, exact, law)


def spread(field: Field, axis: int, size: int) -> Field:
    """Expand an axis of one position to `size` positions that see the same."""
    part = field.parts[axis]
    law = field.law
    if any(field.atoms[i].image for i in range(part.start, part.stop)) and isinstance(law, Law):
        law = Law(1, 0, law_taken(field, [[0]]))
    counts = tuple((size > 1) if i == axis else n for i, n in enumerate(field.counts))
    atoms = (*field.atoms[: part.start], *((Atom(size),) if size > 1 else ()), *field.atoms[part.stop :])
    return Field(atoms, tuple(map(int, counts)), field.exact, law)


# ---- all axes


def permute(field: Field, order: Sequence[int]) -> Field:
    """Permute the axes."""
    parts = field.parts
    places = [i for axis in order for i in range(parts[axis].start, parts[axis].stop)]
    law = field.law
    if isinstance(law, Law):
        law = law._replace(cells=permuted(law.cells, field.law_dims, places))
    exact = permuted(field.exact, field.dims, places)
    return Field(tuple(field.atoms[i] for i in places), tuple(field.counts[axis] for axis in order), exact, law)


def expanded(field: Field, index: int) -> Field:
    """The same field with one class per position of an atom."""
    atom = field.atoms[index]
    if atom.classes == atom.size and atom.table is None:
        return field
    groups = [(c,) for c in atom.lookup]
    made = Atom(atom.size, atom.size, None, atom.image)
    exact = regrouped(field.exact, field.dims, index, groups)
    return _replaced(field, index, made, exact, _law_regrouped(field, index, groups))


def single(field: Field, axis: int) -> Field:
    """The same field with at most one atom on an axis."""
    part = field.parts[axis]
    if part.stop - part.start < 2:
        return field
    atoms = field.atoms[part]
    size = prod(atom.size for atom in atoms)
    counts = tuple(1 if i == axis else n for i, n in enumerate(field.counts))
    image = any(atom.image for atom in atoms)
    if not (image and isinstance(field.law, Law)) and all(atom.classes == 1 for atom in atoms):
        made = (*field.atoms[: part.start], Atom(size, 1, None, image), *field.atoms[part.stop :])
        return Field(made, counts, field.exact, field.law)
    for i in range(part.start, part.stop):
        field = expanded(field, i)
    law = _merged_law(field, part)
    made = (*field.atoms[: part.start], Atom(size, size, None, image), *field.atoms[part.stop :])
    return compressed(Field(made, counts, field.exact, law), part.start)


def _merged_law(field: Field, part: slice) -> Rule:
    """Law after merging. Other atoms may follow the image atom but not precede it: an inner part can't grow."""
    law, image = field.law, field.image
    if not isinstance(law, Law) or image is None or not part.start <= image < part.stop:
        return law
    if any(field.atoms[i].size > 1 for i in range(part.start, image)):
        return Broken("its axis became the inner part of a longer one")
    inner = prod(field.atoms[i].size for i in range(image + 1, part.stop))
    return _least_of(field, Law(law.period * inner, law.shift, law.cells), part)


def _least_of(field: Field, law: Law, part: slice) -> Law:
    atoms = (*field.atoms[: part.start], Atom(law.period, law.period, None, True), *field.atoms[part.stop :])
    return _least(Field(atoms, (len(atoms),), [], law), law)


def compressed(field: Field, index: int) -> Field:
    """Merge positions of an atom that see the same into one class; the atom that the law repeats along is unchanged."""
    atom = field.atoms[index]
    if (atom.image and isinstance(field.law, Law)) or atom.classes == 1:
        return field
    columns = _columns(field.exact, field.dims, index)
    if isinstance(field.law, Law):
        of_law = _columns(field.law.cells, field.law_dims, index)
        columns = [a + b for a, b in zip(columns, of_law, strict=True)]
    classes: dict[tuple[Cell, ...], int] = {}
    numbers = [classes.setdefault(column, len(classes)) for column in columns]
    if len(classes) == atom.classes:
        return field
    groups = [(numbers.index(c),) for c in range(len(classes))]
    table = None if len(classes) == 1 else tuple(numbers[c] for c in atom.lookup)
    made = Atom(atom.size, len(classes), table, atom.image)
    exact = regrouped(field.exact, field.dims, index, groups)
    return _replaced(field, index, made, exact, _law_regrouped(field, index, groups))


def _columns(cells: Cells, dims: Sequence[int], axis: int) -> list[tuple[Cell, ...]]:
    """The cells at each position of an axis, as a hashable tuple."""
    n, inner = dims[axis], prod(dims[axis + 1 :])
    starts = range(0, len(cells), n * inner)
    return [tuple([c for s in starts for c in cells[s + i * inner : s + (i + 1) * inner]]) for i in range(n)]


def split(field: Field, index: int, inner: int) -> Field:
    """Split an atom into two, the second of size `inner`."""
    atom = field.atoms[index]
    outer = atom.size // inner
    axis = next(i for i, part in enumerate(field.parts) if part.start <= index < part.stop)
    counts = tuple(n + (i == axis) for i, n in enumerate(field.counts))
    if atom.classes == 1 and not (atom.image and isinstance(field.law, Law)):
        pair = (Atom(outer, 1, None, atom.image), Atom(inner))
        return Field((*field.atoms[:index], *pair, *field.atoms[index + 1 :]), counts, field.exact, field.law)
    tabled = atom.table is not None
    field = expanded(field, index)
    law = field.law
    if atom.image and isinstance(law, Law):
        laps = law.period // gcd(law.period, inner)
        law = Law(laps, law.shift * (inner * laps // law.period), law_taken(field, [[i] for i in range(laps * inner)]))
    pair = (Atom(outer, outer, None, atom.image), Atom(inner, inner))
    made = Field((*field.atoms[:index], *pair, *field.atoms[index + 1 :]), counts, field.exact, law)
    return compressed(compressed(made, index), index + 1) if tabled else made


def reshape(field: Field, shape: Shape) -> Field:
    """Reshape in row-major order: distribute atoms over new axes, splitting or merging them where needed."""
    if field.shape == shape:
        return field
    line = Field(field.atoms, (len(field.atoms),), field.exact, field.law)
    end, counts = len(line.atoms), []
    for size in reversed(shape):
        need, start = size, end
        while True:
            if start and line.atoms[start - 1].size == 1:
                start -= 1
            elif need == 1:
                break
            elif need % line.atoms[start - 1].size == 0:
                start -= 1
                need //= line.atoms[start].size
            else:
                line, grown = _cut(line, start, need)
                start, end = start + grown, end + grown
        counts.append(end - start)
        end = start
    if not shape:  # drop the remaining atoms of size 1
        rest = spread(line, 0, 1)
        return Field(rest.atoms, (), rest.exact, rest.law)
    return Field(line.atoms, tuple(reversed(counts)), line.exact, line.law)


def _cut(line: Field, end: int, need: int) -> tuple[Field, int]:
    """Split or merge the atoms before `end` so that they divide `need`; return the field and the change in count."""
    atom = line.atoms[end - 1]
    if atom.size % need == 0:
        return split(line, end - 1, need), 1
    whole = Field(line.atoms, (end, len(line.atoms) - end), line.exact, line.law)
    merged = single(whole, 0)
    return Field(merged.atoms, (len(merged.atoms),), merged.exact, merged.law), 1 - end
