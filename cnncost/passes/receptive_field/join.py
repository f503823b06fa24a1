"""What an element sees by several ways: the hull over all paths that meet in an op."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from math import lcm, prod
from typing import TypeAlias

from cnncost.passes.receptive_field.cells import Cells, permuted, regrouped, union
from cnncost.passes.receptive_field.field import GLOBAL, Atom, Broken, Field, Law, Rule
from cnncost.passes.receptive_field.steps import law_taken, single, split

Sizes: TypeAlias = tuple[int, ...]


def joined(fields: Sequence[Field], along: int | None = None) -> Field:
    """The union of what fields of one shape see.

    `along` is the axis along which each holds for a place of its own, so that no element sees by two of them.
    """
    first = fields[0]
    if all(field is first for field in fields):
        return first
    pieces = _aligned(fields)
    atoms: list[Atom] = []
    for index in range(len(pieces[0].atoms)):
        atom, groups = _common([piece.atoms[index] for piece in pieces])
        atoms.append(atom)
        pieces = [
            piece if each is None else _finer(piece, index, atom, each)
            for piece, each in zip(pieces, groups, strict=True)
        ]
    exact = union([piece.exact for piece in pieces])
    law, image = _law(pieces, along)
    if isinstance(law, Law):  # the atom that another's law was drawn out along is one like others now
        atoms = [atom._replace(image=index == image) for index, atom in enumerate(atoms)]
    elif exact.count(exact[0]) == len(exact):  # as behind squeeze and excite: one cell says it for all
        atoms, exact = [atom._replace(classes=1, table=None) for atom in atoms], exact[:1]
    return Field(tuple(atoms), pieces[0].counts, exact, law)


# ---- the same atoms in all


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
    """Products of the inner parts: where an axis is cut."""
    return {prod(sizes[i:]) for i in range(len(sizes) + 1)}


def _refined(a: Sizes, b: Sizes) -> Sizes:
    """The sizes when it is cut where either is; where they don't divide each other, `_divides` will tell."""
    ends = sorted(_ends(a) | _ends(b))
    return tuple(reversed([after // before for before, after in pairwise(ends)]))


def _divides(sizes: Sizes, wanted: Sizes) -> bool:
    return prod(sizes) == prod(wanted) and _ends(sizes) <= _ends(wanted)


def _cut(field: Field, axis: int, wanted: Sizes, ones: int) -> Field:
    """The axis cut as wanted, with so many atoms of one position behind."""
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


# ---- the same classes in all


def _common(atoms: Sequence[Atom]) -> tuple[Atom, list[list[tuple[int]] | None]]:
    """An atom whose classes are fine enough for all, and for each of them which of its classes those are."""
    size, image, place = atoms[0].size, any(a.image for a in atoms), any(a.place for a in atoms)
    first = atoms[0]
    if all(atom.classes == first.classes and atom.table == first.table for atom in atoms):
        return first._replace(image=image, place=place), [None] * len(atoms)
    if any(atom.classes == size and atom.table is None for atom in atoms):
        made = Atom(size, size, None, image, place)
        return made, [None if a.classes == size and a.table is None else [(c,) for c in a.lookup] for a in atoms]
    classes: dict[tuple[int, ...], int] = {}
    table = tuple([classes.setdefault(each, len(classes)) for each in zip(*(a.lookup for a in atoms), strict=True)])
    made = Atom(size, len(classes), None if len(classes) == 1 else table, image, place)
    return made, [[(key[i],) for key in classes] for i in range(len(atoms))]


def _finer(field: Field, index: int, atom: Atom, groups: list[tuple[int]]) -> Field:
    """The field with the classes of another atom; along the image's own the law keeps its period."""
    own = field.atoms[index]
    exact = regrouped(field.exact, field.dims, index, groups)
    law = field.law
    if isinstance(law, Law) and not own.image:
        law = law._replace(cells=regrouped(law.cells, field.law_dims, index, groups))
    made = Atom(atom.size, atom.classes, atom.table, own.image, own.place)
    atoms = (*field.atoms[:index], made, *field.atoms[index + 1 :])
    return Field(atoms, field.counts, exact, law)


# ---- one law


def _law(fields: Sequence[Field], along: int | None) -> tuple[Rule, int | None]:
    """The law of the union, and the index of the atom that it is drawn out along."""
    laws = [field.law for field in fields]
    if any(law is GLOBAL for law in laws):
        return GLOBAL, None
    if broken := next((law for law in laws if isinstance(law, Broken)), None):
        return broken, None
    told = [(field, law) for field, law in zip(fields, laws, strict=True) if isinstance(law, Law)]
    seeing = [(field, law) for field, law in told if any(cell is not None for cell in law.cells)] or told[:1]
    images = {field.image for field, _ in seeing}
    if len(images) > 1:
        return Broken("paths don't align: one lies along another axis, or is of fixed positions"), None
    (image,) = images
    return _agreed(seeing, image, along), image


def _agreed(told: list[tuple[Field, Law]], image: int | None, along: int | None) -> Rule:
    jumps = {Fraction(law.shift, law.period) for _, law in told}
    if len(jumps) > 1:
        return Broken(f"paths don't align: they meet with jumps of {' and '.join(map(str, sorted(jumps)))}")
    (jump,) = jumps
    period = lcm(*(law.period for _, law in told))
    grids = [_drawn(field, law, period) for field, law in told]
    if image is not None and along is not None:
        part = told[0][0].parts[along]
        if part.start <= image < part.stop and any(grid != grids[0] for grid in grids):
            return Broken("parts that are joined along the axis follow no one rule")
    return Law(period, int(period * jump), union(grids))


def _drawn(field: Field, law: Law, period: int) -> Cells:
    """The law's grid over a multiple of its period."""
    if field.image is None or law.period == period:
        return law.cells
    return law_taken(field, [[i] for i in range(period)])
