"""Finds laws with floors, for all sizes: sums over layers, each a polynomial in the sizes of one feature map.

A chain of convolutions and pools turns a size into ⌊(size + shift) / stride⌋, which is an atom. On a law's lattice,
atoms are linear in the sizes, so a layer's law there determines its law in atoms. Points off the lattice check it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import product
from math import comb
from random import Random

from cnncost.laws.box import Fitted, draw
from cnncost.laws.fit import Fit
from cnncost.laws.law import Span
from cnncost.laws.polynomial import Atom, Point, Polynomial, Powers
from cnncost.laws.samples import Sample

_CHECKS, _LEAST = 10, 6
"""Number of further points to analyze, and number of points off the lattice that are needed to accept a law."""
_PROBES = 24
"""Maximum number of analyses for finding the shifts along one variable."""
SUMS = ("macs", "flops")
"""Quantities that may have such laws. A layer's bytes depend on its input and its output, not on one feature map."""


class Floors:
    """Finds laws with floors from the laws on a lattice.

    Attributes:
        laws: the laws with floors that were found, by quantity.
    """

    def __init__(self, fit: Fit) -> None:
        self.fit, self.sampler, self.anchor = fit, fit.sampler, fit.anchor
        # variables whose lattice is coarser than the requested sizes
        self.coarse = [i for i, line in enumerate(fit.lines) if line.step > fit.sampler.variables[i].step]
        self.laws: dict[str, Fitted] = {}
        names = [name for name in SUMS if not fit.laws[name].why and self._is_on_lattice(name) and not fit.irregular]
        # a law with floors is for all sizes, but for a variable with a step the user wants only some
        if not names or any(fit.sampler.variables[i].step > 1 for i in self.coarse):
            return
        self.atoms = {index: self._atoms_of(index) for index in self.coarse}
        if not all(self.atoms.values()):  # some variable has no atom
            return
        random = Random(1)  # noqa: S311  # the same points in every run
        for _ in range(_CHECKS):
            self.sampler.at(draw(random, self._domain("macs")))
        for name in names:
            if (found := self._law(name)) is not None:
                self.laws[name] = found

    def _is_on_lattice(self, name: str) -> bool:
        """Return whether a quantity's law holds only on a lattice."""
        return any(self.fit.laws[name].domain[i].step > 1 for i in self.coarse)

    def _domain(self, name: str) -> list[Span]:
        """Return the domain of a quantity's law, extended to all sizes between those of the lattice."""
        return [
            span._replace(step=1) if i in self.coarse else span for i, span in enumerate(self.fit.laws[name].domain)
        ]  # fmt: skip

    # ---- atoms

    def _output_sizes(self, index: int, size: int) -> dict[tuple[str, int], int] | None:
        """Return the sizes of each row's first output, by row and axis; None if the analysis fails."""
        sample = self.sampler.at((*self.anchor[:index], size, *self.anchor[index + 1 :]))
        if not isinstance(sample, Sample):
            return None
        return {(label, i): n for label, shapes in sample.outputs if shapes for i, n in enumerate(shapes[0])}

    def _atoms_of(self, index: int) -> dict[str, Atom]:
        """Return the atom that equals a size of a row's output, for the variable `index`, by row that has one."""
        start, step = self.anchor[index], self.fit.lines[index].nodes.step
        first, second = self._output_sizes(index, start), self._output_sizes(index, start + step)
        if first is None or second is None:
            return {}
        strides: dict[tuple[str, int], int] = {}
        for key, size in first.items():
            slope = Fraction(second.get(key, size) - size, step)
            if slope > 0 and slope.numerator == 1 and slope.denominator > 1:
                strides[key] = slope.denominator
        shifts = dict.fromkeys(strides, (-(10**9), 10**9))  # unknown at first: wider than any actual shift
        sizes = {start, start + step}
        for size, dims in ((start, first), (start + step, second)):
            _narrow(shifts, strides, size, dims)
        for _ in range(_PROBES):
            uncertain = next((key for key, (low, high) in shifts.items() if low < high), None)
            if uncertain is None:
                break
            low, high = shifts[uncertain]
            # bisect: (size + middle) is divisible by the stride, so the output shows whether the shift is ≥ middle
            middle = (low + high + 1) // 2
            size = start + (-(start + middle)) % strides[uncertain]
            further = None if size in sizes else self._output_sizes(index, size)
            if further is None:
                break
            sizes.add(size)
            _narrow(shifts, strides, size, further)
        return {
            label: Atom(index, low, strides[label, axis])
            for (label, axis), (low, high) in shifts.items() if low == high
        }  # fmt: skip

    # ---- laws

    def _law(self, name: str) -> Fitted | None:
        """Return the sum of all layers' laws with floors; None if a layer has none or the sum is not confirmed."""
        law = self.fit.laws[name]
        domain = self._domain(name)
        samples = {
            p: s for p, s in self.sampler.samples().items()
            if all(span.has(size) for span, size in zip(domain, p, strict=True))
        }  # fmt: skip
        total = Polynomial.of([Atom(i) for i in range(len(domain))], {})
        for path, layer_law in self.fit.layers[name].items():
            values = {p: s.layers[path][name] if path in s.layers else 0 for p, s in samples.items()}
            with_floors = next((each for each in self._candidates(path, layer_law) if _holds(each, values)), None)
            if with_floors is None:
                return None
            total = total.plus(with_floors)
        off_lattice = sorted(p for p in samples if any(not s.has(n) for s, n in zip(law.domain, p, strict=True)))
        if len(off_lattice) < _LEAST or not _holds(total, {p: s.totals[name] for p, s in samples.items()}):
            return None
        return Fitted([total], domain, off_lattice)

    def _candidates(self, path: str, law: Polynomial) -> Iterator[Polynomial]:
        """Yield a layer's law in atoms, first in the atoms of its own output, then in all combinations of atoms."""
        axes = [i for i in self.coarse if law.depends_on(i)]
        if not axes:
            yield law
            return
        own = [self.atoms[i][path] for i in axes if path in self.atoms[i]]
        if len(own) == len(axes):
            yield in_atoms(law, dict(zip(axes, own, strict=True)), self.anchor)
        choices = [[Atom(i), *dict.fromkeys(self.atoms[i].values())] for i in axes]
        for chosen in product(*choices):
            yield in_atoms(law, dict(zip(axes, chosen, strict=True)), self.anchor)


def _narrow(
    shifts: dict[tuple[str, int], tuple[int, int]], strides: Mapping[tuple[str, int], int], size: int,
    dims: Mapping[tuple[str, int], int],
) -> None:  # fmt: skip
    """Narrow the ranges of shifts in place to those with ⌊(size + shift) / stride⌋ = dims; drop keys that have none."""
    for key in list(shifts):
        low, high = shifts[key]
        least = strides[key] * dims[key] - size if key in dims else 1
        low, high = max(low, least), min(high, least + strides[key] - 1)
        if key not in dims or low > high:
            del shifts[key]
        else:
            shifts[key] = (low, high)


def _holds(law: Polynomial, values: Mapping[Point, int]) -> bool:
    return all(law.at(point) == value for point, value in values.items())


def in_atoms(law: Polynomial, chosen: Mapping[int, Atom], anchor: Point) -> Polynomial:
    """Return a law in plain variables with some of them replaced by atoms.

    Args:
        law: a law on the lattice that contains the anchor, on which each atom is linear.
        chosen: the atoms, by the index of the variable that each replaces.
        anchor: a point of the lattice.
    """
    atoms = [chosen.get(atom.axis, atom) for atom in law.atoms]
    coefficients: dict[Powers, Fraction] = {}
    for powers, coefficient in law.terms:
        parts: list[list[tuple[int, Fraction]]] = []
        for atom, power in zip(atoms, powers, strict=True):
            # on the lattice, variable = step·atom + remainder, and the binomial theorem expands its powers
            remainder = anchor[atom.axis] - atom.step * atom.at(anchor)
            parts.append([
                (k, Fraction(comb(power, k) * atom.step**k * remainder ** (power - k))) for k in range(power + 1)
            ])  # fmt: skip
        for combination in product(*parts):
            key = tuple(k for k, _ in combination)
            factor = coefficient
            for _, part in combination:
                factor *= part
            coefficients[key] = coefficients.get(key, Fraction(0)) + factor
    return Polynomial.of(atoms, coefficients)
