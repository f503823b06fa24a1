"""Finds the lattice of each variable on which costs are polynomials, their degree, and a grid to find them from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from cnncost.errors import InputError
from cnncost.laws.polynomial import Atom, Nodes, Point, Polynomial, degree_of, interpolate
from cnncost.laws.samples import ADDITIVE, Failure, Sample, Sampler
from cnncost.laws.variables import Variable

_FEW, _MANY = 5, 7
"""Samples in a row: enough to see degree 2, and degree 4, with one to spare that was not needed to fix it."""
_STRIDE = 13_440
"""2⁷·3·5·7: by so much a size is raised to read off by what strides divide it."""
_LATTICES = (32, 64, 128, 224, 112, 96, 56, 48, 14, 28, 10, 12, 36, 100, 320, 640, 960, 256, 512, 1024)
"""Lattices to try where strides tell nothing: powers of two, patches of 14, windows of 7, hops of audio."""
_FAR = (13, 37, 101)
"""Steps from the anchor to sizes at which a line must hold, too."""
_TRIED = 7
"""Lattices to try where one is found on which a law holds near the anchor alone."""
_PRIMES = (2, 3, 5, 7, 11, 13)


@dataclass(frozen=True, slots=True)
class Line:
    """A variable's lattice and degree, with the others at the anchor.

    Attributes:
        nodes: sizes to interpolate at.
        step: of the lattice: size ≡ anchor modulo step.
    """

    nodes: Nodes
    step: int


def anchored(sampler: Sampler) -> Point:
    """Where lines cross: the model's own sizes, but two examples, as one is often treated in a way of its own."""
    base = sampler.base
    two = tuple(2 if v.name == "batch" and v.base == 1 and v.high > 1 else v.base for v in sampler.variables)
    return two if two == base or isinstance(sampler.at(two), Sample) else base


def lines(sampler: Sampler, anchor: Point) -> list[Line]:
    """A line for each variable.

    Raises:
        InputError: there is no lattice on which costs are polynomials of low degree, or the model runs at no other
            size.
    """
    found: list[Line] = []
    hint = 0
    for index, variable in enumerate(sampler.variables):
        search = _Search(sampler, anchor, index)
        line = search.line(hint if variable.strided else 0)
        if variable.strided:
            hint = line.step
        found.append(line)
    return found


class _Search:
    """The search along one variable."""

    def __init__(self, sampler: Sampler, anchor: Point, index: int) -> None:
        self.sampler, self.anchor, self.index = sampler, anchor, index
        self.variable: Variable = sampler.variables[index]
        self.found: dict[int, Line | None] = {}
        self.failed: list[tuple[int, Failure]] = []

    def at(self, size: int) -> Sample | Failure:
        """The costs at a size, the other variables at the anchor."""
        point = (*self.anchor[: self.index], size, *self.anchor[self.index + 1 :])
        sample = self.sampler.at(point)
        if isinstance(sample, Failure) and (size, sample) not in self.failed:
            self.failed.append((size, sample))
        return sample

    def line(self, hint: int) -> Line:
        """On the coarsest lattice that is needed. Raises InputError if there is none."""
        unit = self.variable.step
        step = narrow = None
        for tried, candidate in enumerate(self._candidates(hint, unit)):
            if narrow is not None and tried > _TRIED:
                break
            line = self.on(candidate)
            if line is not None and self._holds_far(line):
                step = candidate
                break
            if line is not None:
                narrow = narrow or candidate
        step = step or narrow
        if step is None:
            raise InputError(self._none())
        reduced = True
        while reduced:
            reduced = False
            for prime in _PRIMES:
                finer = self.on(step // prime) if step % (prime * unit) == 0 else None
                if finer is not None and (step == narrow or self._holds_far(finer)):
                    step, reduced = step // prime, True
                    break
        line = self.on(step)
        assert line is not None
        return line

    def _candidates(self, hint: int, unit: int) -> Iterator[int]:
        if hint and hint % unit == 0:
            yield hint
        yield unit
        if self.variable.strided and (guess := self._by_strides()) is not None and guess % unit == 0:
            yield guess
        yield from (unit * (step if unit == 1 else 2**i) for i, step in enumerate(_LATTICES[: 20 if unit == 1 else 5]))

    def on(self, step: int) -> Line | None:
        """The line on a lattice, upwards from the anchor, or downwards if there is no room."""
        if step not in self.found:
            self.found[step] = self._towards(step, 1) or self._towards(step, -1)
        return self.found[step]

    def _holds_far(self, line: Line) -> bool:
        """Whether a line also holds where it was not looked for: seven sizes in a row may lie within one floor."""
        start, step, _ = line.nodes
        rows = [self.at(size) for size in line.nodes.values]
        found: list[Polynomial] = []
        for name in ADDITIVE:
            values = [row.totals[name] for row in rows if isinstance(row, Sample)]
            found.append(Polynomial.of([Atom(0)], interpolate([line.nodes], values)))
        for far in _FAR:
            size = start + step * far
            sample = self.at(size) if self.variable.low <= size <= self.variable.high else None
            if isinstance(sample, Sample) and any(
                law.at((size,)) != sample.totals[name] for name, law in zip(ADDITIVE, found, strict=True)
            ):
                return False
        return True

    def _towards(self, step: int, sign: int) -> Line | None:
        start, low, high = self.anchor[self.index], self.variable.low, self.variable.high
        sizes = [size for k in range(_MANY) if low <= (size := start + sign * step * k) <= high]
        rows: list[tuple[int, ...]] = []
        for count in sorted({min(_FEW, len(sizes)), len(sizes)}):
            for size in sizes[len(rows) : count]:
                sample = self.at(size)
                if not isinstance(sample, Sample):
                    return None
                rows.append(tuple(sample.totals[name] for name in ADDITIVE))
            degree = degree_of(rows)
            if degree is not None:
                return Line(Nodes(start, sign * step, degree), step)
        return None

    def _by_strides(self) -> int | None:
        """The least common multiple of the strides from the input to each layer's output, read off one large size."""
        here, start = self.at(self.anchor[self.index]), self.anchor[self.index]
        if self.sampler.trace == "real":
            return None
        there = self.at(start + _STRIDE)
        if not isinstance(here, Sample) or not isinstance(there, Sample):
            return None
        steps = [1]
        for (path, shapes), (other, larger) in zip(here.outputs, there.outputs, strict=False):
            if path != other:
                break
            for a, b in zip(shapes, larger, strict=False):
                steps += [Fraction(q - p, _STRIDE).denominator for p, q in zip(a, b, strict=False) if p != q]
        found = lcm(*(step for step in steps if step <= 1024))
        return found if 1 < found <= 8192 else None

    def _none(self) -> str:
        name, start = self.variable.name, self.anchor[self.index]
        ran = [
            point[self.index] for point in self.sampler.seen()
            if all(p == a for i, (p, a) in enumerate(zip(point, self.anchor, strict=True)) if i != self.index)
        ]  # fmt: skip
        fails = sorted({size for size, _ in self.failed})
        failed = f"fails at {', '.join(map(str, fails[:6]))}: {self.failed[0][1].reason}" if fails else ""
        runs = sorted(set(ran))
        if len(fails) > len(runs):
            at = f"{start} alone" if len(runs) == 1 else ", ".join(map(str, runs[:6]))
            return f"vary {name}: forward runs at {at}; it {failed}{self._hint()}"
        return (
            f"vary {name}: no lattice of sizes was found from {start} on on which the costs are a polynomial of degree "
            f"up to 4{f' (forward {failed})' if failed else ''}; give the sizes that matter, such as "
            f"{name}={start},{2 * start},{4 * start}"
        )

    def _hint(self) -> str:
        """What to vary in place of a size that is fixed."""
        name = self.variable.name
        others = ",".join(v.name for v in self.sampler.variables if v.name != name)
        apart = f"; leave {name} out and vary {others}" if others else f"; {name} can't be varied"
        if {"height", "width"} & {v.name for v in self.sampler.variables}:
            apart += "; height and width of squares vary together as size"
        return apart
