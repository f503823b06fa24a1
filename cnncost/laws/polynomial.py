"""Polynomials with rational coefficients, interpolated and evaluated exactly; no floats are used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import combinations, pairwise, product
from math import comb
from typing import NamedTuple, TypeAlias

Point: TypeAlias = tuple[int, ...]
"""A size for each variable, in the order of the variables."""
Powers: TypeAlias = tuple[int, ...]
"""The exponent of each atom in a term."""


class Atom(NamedTuple):
    """An indeterminate of a polynomial: a variable, or ⌊(variable + shift) / step⌋.

    Attributes:
        axis: index of the variable.
        shift: added to the variable; 0 for the variable itself.
        step: divisor; 1 for the variable itself.
    """

    axis: int
    shift: int = 0
    step: int = 1

    def at(self, point: Point) -> int:
        """Return the atom's value at a point."""
        return (point[self.axis] + self.shift) // self.step


@dataclass(frozen=True, slots=True)
class Polynomial:
    """A sum of terms, highest total degree first.

    Attributes:
        atoms: the indeterminates, in the order of the powers.
        terms: (powers, coefficient) of each term. No coefficient is 0.
    """

    atoms: tuple[Atom, ...]
    terms: tuple[tuple[Powers, Fraction], ...]

    @classmethod
    def of(cls, atoms: Sequence[Atom], coefficients: Mapping[Powers, Fraction]) -> Polynomial:
        """Return the polynomial with these coefficients, by powers. Zeros are dropped."""
        terms = [(powers, c) for powers, c in coefficients.items() if c]
        terms.sort(key=lambda term: (-sum(term[0]), tuple(-e for e in term[0])))
        return cls(tuple(atoms), tuple(terms))

    def at(self, point: Point) -> Fraction:
        """Return the exact value at a point."""
        values = [atom.at(point) for atom in self.atoms]
        total = Fraction(0)
        for powers, coefficient in self.terms:
            term = coefficient
            for value, power in zip(values, powers, strict=True):
                if power:
                    term *= value**power
            total += term
        return total

    def plus(self, other: Polynomial) -> Polynomial:
        """Return the sum of two polynomials, over the atoms of both."""
        atoms = tuple(dict.fromkeys((*self.atoms, *other.atoms)))
        coefficients: dict[Powers, Fraction] = {}
        for each in (self, other):
            places = [each.atoms.index(atom) if atom in each.atoms else None for atom in atoms]
            for powers, coefficient in each.terms:
                key = tuple(0 if place is None else powers[place] for place in places)
                coefficients[key] = coefficients.get(key, Fraction(0)) + coefficient
        return Polynomial.of(atoms, coefficients)

    def depends_on(self, axis: int) -> bool:
        """Return whether the polynomial depends on the variable with index `axis`."""
        places = [i for i, atom in enumerate(self.atoms) if atom.axis == axis]
        return any(powers[i] for powers, _ in self.terms for i in places)


class Nodes(NamedTuple):
    """Equally spaced grid values of one variable: start, start + step, …, start + degree·step."""

    start: int
    step: int
    degree: int

    @property
    def values(self) -> tuple[int, ...]:
        """The degree + 1 values."""
        return tuple(self.start + k * self.step for k in range(self.degree + 1))


def grid(axes: Sequence[Nodes]) -> list[Point]:
    """Return all points of the tensor product, the last variable changing fastest."""
    return list(product(*(nodes.values for nodes in axes)))


def interpolate(axes: Sequence[Nodes], values: Sequence[int], origin: Point | None = None) -> dict[Powers, Fraction]:
    """Return the coefficients of the unique polynomial, of the grid's degrees, through the values.

    Args:
        axes: the grid.
        values: the values at the points of `grid(axes)`, in that order.
        origin: if not None, coefficients are of powers of (variable − origin) instead of powers of the variable.
    """
    sizes = [nodes.degree + 1 for nodes in axes]
    current: list[Fraction] = [Fraction(v) for v in values]
    stride = len(current)
    for i, nodes in enumerate(axes):
        stride //= sizes[i]
        shift = origin[i] if origin is not None else 0
        matrix = _inverse(nodes.start - shift, nodes.step, nodes.degree)
        current = _along(current, sizes[i], stride, matrix)
    return dict(zip(product(*(range(n) for n in sizes)), current, strict=True))


def _along(values: list[Fraction], size: int, stride: int, matrix: tuple[tuple[Fraction, ...], ...]) -> list[Fraction]:
    """Apply a matrix to all lines of a flat dense array along the axis of this size and stride."""
    if size == 1:
        return values
    result = list(values)
    for first in range(len(values)):
        if (first // stride) % size:
            continue
        line = [values[first + k * stride] for k in range(size)]
        for power, row in enumerate(matrix):
            result[first + power * stride] = sum((c * v for c, v in zip(row, line, strict=True) if v), Fraction(0))
    return result


@cache
def _inverse(start: int, step: int, degree: int) -> tuple[tuple[Fraction, ...], ...]:
    """Return the inverse Vandermonde matrix: row p maps values at the nodes to the coefficient of the p-th power."""
    nodes = [start + k * step for k in range(degree + 1)]
    columns = []
    for i, node in enumerate(nodes):
        # coefficients of the node's Lagrange polynomial, the product of (x − other) / (node − other), which is 1 at the
        # node and 0 at all others
        basis = [Fraction(1)]
        for j, other in enumerate(nodes):
            if i != j:
                scaled = [c / (node - other) for c in basis]
                basis = [
                    (scaled[p - 1] if p else Fraction(0)) - (other * scaled[p] if p < len(scaled) else 0)
                    for p in range(len(scaled) + 1)
                ]
        columns.append(basis)
    return tuple(tuple(column[p] for column in columns) for p in range(degree + 1))


def degree_of(rows: Sequence[Sequence[int]], spare: int = 2) -> int | None:
    """Return the lowest degree at which polynomials go through equally spaced samples, for all columns at once.

    Args:
        rows: for each sample, the value of each column.
        spare: minimum number of differences of the next order, which must all vanish, as evidence for the degree.

    Returns:
        The degree; None if for no degree that many differences are left and all of them vanish.
    """
    current: list[Sequence[int]] = list(rows)
    for degree in range(len(rows)):
        current = [[b - a for a, b in zip(first, second, strict=True)] for first, second in pairwise(current)]
        if len(current) < spare:
            return None
        if not any(any(row) for row in current):
            return degree
    return None


def undominated(columns: Iterable[Sequence[int]], axes: Sequence[Nodes], origin: Point) -> list[Polynomial]:
    """Return a subset of polynomials that contains the largest one at every point from `origin` on.

    A polynomial is left out if, expanded about the origin, another one has no smaller coefficient. If only a few
    polynomials remain, it is also left out if a weighted mean of two others has no smaller coefficient.

    Args:
        columns: for each polynomial, its values at the grid's points.
        axes: the grid.
        origin: the smallest size of each variable.
    """
    expanded = [interpolate(axes, column, origin) for column in dict.fromkeys(map(tuple, columns))]
    far = tuple(64 * max(o, 1) for o in origin)  # polynomials that are large here come first: they exceed many others
    polynomials = [Polynomial.of([Atom(i) for i in range(len(axes))], each) for each in expanded]
    ranked = sorted(zip(expanded, polynomials, strict=True), key=lambda pair: -pair[1].at(far))
    kept: list[dict[Powers, Fraction]] = []
    for each, _ in ranked:
        if not any(_below(each, other, other) for other in kept):
            kept.append(each)
    if len(kept) <= _FEW:
        for each in list(kept):
            others = [other for other in kept if other is not each]
            if any(_below(each, a, b) for a, b in combinations(others, 2)):
                kept = others
    return [_in_variables(each, origin) for each in kept]


_FEW = 64
"""Maximum number of polynomials for which all pairs are tried as upper bounds of a third one."""


def _below(low: Mapping[Powers, Fraction], first: Mapping[Powers, Fraction], second: Mapping[Powers, Fraction]) -> bool:
    """Return whether λ·first + (1 − λ)·second, for some λ from 0 to 1, has no coefficient smaller than `low`'s.

    The larger of `first` and `second` is then nowhere below `low`.
    """
    least, most = Fraction(0), Fraction(1)
    for powers, target in low.items():
        a, b = first[powers], second[powers]
        if a == b:
            if b < target:
                return False
        elif a > b:
            least = max(least, (target - b) / (a - b))
        else:
            most = min(most, (target - b) / (a - b))
    return least <= most


def _in_variables(expanded: Mapping[Powers, Fraction], origin: Point) -> Polynomial:
    """Return a polynomial in powers of the variables, from its coefficients in powers of (variable − origin)."""
    coefficients: dict[Powers, Fraction] = {}
    for powers, coefficient in expanded.items():
        if not coefficient:
            continue
        for lower in product(*(range(p + 1) for p in powers)):
            part = coefficient
            for p, q, o in zip(powers, lower, origin, strict=True):
                part *= comb(p, q) * (-o) ** (p - q)
            coefficients[lower] = coefficients.get(lower, Fraction(0)) + part
    return Polynomial.of([Atom(i) for i in range(len(origin))], coefficients)
