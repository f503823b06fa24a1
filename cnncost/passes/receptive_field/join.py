"""Merge what an element sees over several paths: the hull over all inputs of an op."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from math import lcm, prod
from typing import NamedTuple, TypeAlias

from cnncost.ops.reach.windows import moved as moved_by
from cnncost.passes.receptive_field.cells import Cells, permuted, regrouped, union
from cnncost.passes.receptive_field.field import GLOBAL, Atom, Broken, Field, Law, Rule
from cnncost.passes.receptive_field.steps import compressed, law_taken, single, split, windowed, with_atom

Sizes: TypeAlias = tuple[int, ...]


def joined(fields: Sequence[Field]) -> Field:
    """Union of fields of the same shape."""
    first = fields[0]
    if all(field is first for field in fields):
        return first
    pieces, atoms = _classed(_aligned(fields), None)
    exact = union([piece.exact for piece in pieces])
    terms = _terms(pieces)
    if not isinstance(terms, Terms):
        if exact.count(exact[0]) == len(exact):  # as after squeeze and excite: all elements see the same
            atoms, exact = [atom._replace(classes=1, table=None) for atom in atoms], exact[:1]
        return Field(tuple(atoms), pieces[0].counts, exact, terms)
    law = Law(terms.period, terms.shift, union([grid for grid in _grids(pieces, terms) if grid is not None]))
    return Field(_drawn_along(atoms, terms.image), pieces[0].counts, exact, law)


def concatenated(pieces: Sequence[Field | None], sizes: Sequence[int], axis: int) -> Field:
    """Concatenate fields along an axis; None sees nothing. `sizes` is the length of each along it."""
    seeing = [piece for piece in pieces if piece is not None]
    if any(_is_drawn(piece, axis) for piece in seeing):
        return _in_space(pieces, sizes, axis)
    own = [_one_atom(piece, axis) for piece in seeing]
    atoms_own = [piece.atoms[piece.parts[axis].start] for piece in own]
    # `_aligned` expects equal shapes: give this axis a dummy size of 2 in all fields
    passing = [_with_size(piece, axis, 2) for piece in own]
    aligned = _aligned(passing)
    index = aligned[0].parts[axis].start
    fields, atoms = _classed(aligned, index)
    atoms[index] = _row(pieces, sizes, atoms_own)
    inner = prod(fields[0].dims[index + 1 :])
    exact = _behind(pieces, [field.exact for field in fields], [a.classes for a in atoms_own], inner)
    law: Rule | Terms = _terms(fields)
    if isinstance(law, Terms):
        atoms = list(_drawn_along(atoms, law.image))
        dims = [law.period if atom.image else atom.classes for atom in atoms]
        inner, outer = prod(dims[index + 1 :]), prod(dims[:index])
        grids: list[Cells] = [
            [None] * (outer * atom.classes * inner) if grid is None else grid
            for grid, atom in zip(_grids(fields, law), atoms_own, strict=True)
        ]
        law = Law(law.period, law.shift, _behind(pieces, grids, [a.classes for a in atoms_own], inner))
    return compressed(Field(tuple(atoms), fields[0].counts, exact, law), index)


def _is_drawn(field: Field, axis: int) -> bool:
    return isinstance(field.law, Law) and any(atom.image for atom in field.atoms[field.parts[axis]])


def _in_space(pieces: Sequence[Field | None], sizes: Sequence[int], axis: int) -> Field:
    """Concatenate along the image axis: pad each piece with positions that see nothing, then join."""
    placed, start, whole = [], 0, sum(sizes)
    for piece, size in zip(pieces, sizes, strict=True):
        if piece is not None:
            positions = [None] * start + list(range(size)) + [None] * (whole - start - size)
            placed.append(windowed(piece, axis, moved_by(axis, positions, -start)))
        start += size
    made = joined(placed)
    if isinstance(made.law, Law) and any(piece.law != placed[0].law for piece in placed):
        return Field(
            made.atoms, made.counts, made.exact, Broken("parts that are joined along the axis follow no one rule")
        )
    return made


def _one_atom(field: Field, axis: int) -> Field:
    field = single(field, axis)
    return field if field.counts[axis] else with_atom(field, axis, Atom(1))


def _with_size(field: Field, axis: int, size: int) -> Field:
    index = field.parts[axis].start
    atoms = (*field.atoms[:index], field.atoms[index]._replace(size=size), *field.atoms[index + 1 :])
    return Field(atoms, field.counts, field.exact, field.law)


def _row(pieces: Sequence[Field | None], sizes: Sequence[int], atoms: Sequence[Atom]) -> Atom:
    """The atom of the joined axis: the classes of all pieces, concatenated."""
    table: list[int] = []
    own, classes = iter(atoms), 0
    for piece, size in zip(pieces, sizes, strict=True):
        atom = Atom(size) if piece is None else next(own)
        table += [classes + c for c in atom.lookup]
        classes += atom.classes
    return Atom(len(table), classes, tuple(table), any(a.image for a in atoms))


def _behind(pieces: Sequence[Field | None], grids: Sequence[Cells], classes: Sequence[int], inner: int) -> Cells:
    """Concatenate grids along an axis, with a row of None for each piece that sees nothing."""
    outer = len(grids[0]) // (classes[0] * inner)
    made: Cells = []
    for i in range(outer):
        told = iter(zip(grids, classes, strict=True))
        for piece in pieces:
            if piece is None:
                made += [None] * inner
            else:
                grid, n = next(told)
                made += grid[i * n * inner : (i + 1) * n * inner]
    return made


def _classed(fields: Sequence[Field], but: int | None) -> tuple[list[Field], list[Atom]]:
    """Give all fields the same classes in every atom except `but`; return the fields and the atoms."""
    pieces, atoms = list(fields), []
    for index in range(len(pieces[0].atoms)):
        if index == but:
            atoms.append(pieces[0].atoms[index])
            continue
        atom, groups = _common([piece.atoms[index] for piece in pieces])
        atoms.append(atom)
        pieces = [
            piece if each is None else _finer(piece, index, atom, each)
            for piece, each in zip(pieces, groups, strict=True)
        ]
    return pieces, atoms


def _drawn_along(atoms: Sequence[Atom], image: int | None) -> tuple[Atom, ...]:
    """Clear the image flag on all atoms but `image`."""
    return tuple(atom._replace(image=index == image) for index, atom in enumerate(atoms))


# ---- common atoms


def _aligned(fields: Sequence[Field]) -> list[Field]:
    sizes = {tuple(atom.size for atom in field.atoms) for field in fields}
    if len(sizes) == 1 and len({field.counts for field in fields}) == 1:
        return list(fields)
    for axis in range(len(fields[0].counts)):
        wanted = reduce(_refined, [_sizes(field, axis) for field in fields])
        if any(not _divides(_sizes(field, axis), wanted) for field in fields):
            fields = [single(field, axis) for field in fields]
            wanted = reduce(_refined, [_sizes(field, axis) for field in fields])
        ones = max(sum(a.size == 1 for a in field.atoms[field.parts[axis]]) for field in fields)
        fields = [_cut(field, axis, wanted, ones) for field in fields]
    return list(fields)


def _sizes(field: Field, axis: int) -> Sizes:
    return tuple(atom.size for atom in field.atoms[field.parts[axis]] if atom.size > 1)


def _ends(sizes: Sizes) -> set[int]:
    """Products of the inner sizes: the points where an axis is cut."""
    return {prod(sizes[i:]) for i in range(len(sizes) + 1)}


def _refined(a: Sizes, b: Sizes) -> Sizes:
    """Sizes when cut at the points of both; `_divides` checks whether they divide each other."""
    ends = sorted(_ends(a) | _ends(b))
    return tuple(reversed([after // before for before, after in pairwise(ends)]))


def _divides(sizes: Sizes, wanted: Sizes) -> bool:
    return prod(sizes) == prod(wanted) and _ends(sizes) <= _ends(wanted)


def _cut(field: Field, axis: int, wanted: Sizes, ones: int) -> Field:
    """Split the axis into atoms of the `wanted` sizes, followed by `ones` atoms of size 1."""
    part = field.parts[axis]
    kept = [i for i in range(part.start, part.stop) if field.atoms[i].size > 1]
    small = [i for i in range(part.start, part.stop) if field.atoms[i].size == 1]
    order = [*range(part.start), *kept, *small, *range(part.stop, len(field.atoms))]
    extra = (Atom(1),) * (ones - len(small))
    law = field.law
    if isinstance(law, Law):
        law = law._replace(cells=permuted(law.cells, field.law_dims, order))
    atoms = [field.atoms[i] for i in order]
    atoms[part.stop : part.stop] = extra
    counts = tuple(n + len(extra) * (i == axis) for i, n in enumerate(field.counts))
    field = Field(tuple(atoms), counts, field.exact, law)
    index = part.start + len(kept) - 1
    for size in reversed(wanted):
        if field.atoms[index].size != size:
            field = split(field, index, size)
        else:
            index -= 1
    return field


# ---- common classes


def _common(atoms: Sequence[Atom]) -> tuple[Atom, list[list[tuple[int]] | None]]:
    """Common refinement of the atoms' classes, and for each atom the old class of each new one (None: unchanged)."""
    size, image = atoms[0].size, any(a.image for a in atoms)
    first = atoms[0]
    if all(atom.classes == first.classes and atom.table == first.table for atom in atoms):
        return first._replace(image=image), [None] * len(atoms)
    if any(atom.classes == size and atom.table is None for atom in atoms):
        made = Atom(size, size, None, image)
        return made, [None if a.classes == size and a.table is None else [(c,) for c in a.lookup] for a in atoms]
    classes: dict[tuple[int, ...], int] = {}
    table = tuple([classes.setdefault(each, len(classes)) for each in zip(*(a.lookup for a in atoms), strict=True)])
    made = Atom(size, len(classes), None if len(classes) == 1 else table, image)
    return made, [[(key[i],) for key in classes] for i in range(len(atoms))]


def _finer(field: Field, index: int, atom: Atom, groups: list[tuple[int]]) -> Field:
    """The field with the finer classes of `atom`; along an image atom the law keeps its period."""
    own = field.atoms[index]
    exact = regrouped(field.exact, field.dims, index, groups)
    law = field.law
    if isinstance(law, Law) and not own.image:
        law = law._replace(cells=regrouped(law.cells, field.law_dims, index, groups))
    made = Atom(atom.size, atom.classes, atom.table, own.image)
    atoms = (*field.atoms[:index], made, *field.atoms[index + 1 :])
    return Field(atoms, field.counts, exact, law)


# ---- common law


class Terms(NamedTuple):
    """Period and shift common to several laws; `image` is the index of the atom that they repeat along."""

    period: int
    shift: int
    image: int | None


def _terms(fields: Sequence[Field]) -> Terms | Rule:
    """The common terms of the fields' laws, or GLOBAL or the reason why there is no common law."""
    laws = [field.law for field in fields]
    if any(law is GLOBAL for law in laws):
        return GLOBAL
    if broken := next((law for law in laws if isinstance(law, Broken)), None):
        return broken
    told = [(field, law) for field, law in zip(fields, laws, strict=True) if isinstance(law, Law)]
    seeing = [(field, law) for field, law in told if _sees(law)] or told[:1]
    images = {field.image for field, _ in seeing}
    if len(images) > 1:
        return Broken("paths don't align: one lies along another axis, or is of fixed positions")
    jumps = {Fraction(law.shift, law.period) for _, law in seeing}
    if len(jumps) > 1:
        return Broken(f"paths don't align: they meet with jumps of {' and '.join(map(str, sorted(jumps)))}")
    period = lcm(*(law.period for _, law in seeing))
    return Terms(period, int(period * jumps.pop()), images.pop())


def _sees(law: Law) -> bool:
    return any(cell is not None for cell in law.cells)


def _grids(fields: Sequence[Field], terms: Terms) -> list[Cells | None]:
    """The laws' grids over the common period; None for one that sees nothing while others do."""
    found = [_grid(field, terms) if isinstance(field.law, Law) and _sees(field.law) else None for field in fields]
    if all(grid is None for grid in found):
        found[0] = _grid(fields[0], terms)
    return found


def _grid(field: Field, terms: Terms) -> Cells:
    assert isinstance(field.law, Law)
    if field.law.period == terms.period:  # always so without an image atom: the period is 1
        return field.law.cells
    return law_taken(field, [[i] for i in range(terms.period)])
