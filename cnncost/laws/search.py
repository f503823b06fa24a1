"""Finds for each variable a lattice on which costs are polynomials, their degree, and nodes for interpolation."""

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
"""Numbers of consecutive samples, enough for degrees 2 and 4 with the spare differences that `degree_of` requires."""
_STRIDE = 13_440
"""2⁷·3·5·7. If an input size grows by this much, an output size grows by this / stride, for strides that divide it."""
_LATTICES = (32, 64, 128, 224, 112, 96, 56, 48, 14, 28, 10, 12, 36, 100, 320, 640, 960, 256, 512, 1024)
"""Lattices to try if the strides show none: powers of two, patches of 14, windows of 7, hops of audio."""
_FAR = (13, 37, 101)
"""Distances from the anchor, in lattice steps, at which a line must also hold."""
_MAX_TRIED = 7
"""If a line has been found that holds only near the anchor, no candidates after this index are tried."""
_PRIMES = (2, 3, 5, 7, 11, 13)
"""Factors by which a lattice is refined as long as costs remain polynomials on it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A variable's lattice, with all other variables at the anchor, and the degree of costs on it.

    Attributes:
        nodes: the sizes at which to interpolate.
        step: the lattice's step. Its sizes are those that are congruent to the anchor modulo `step`.
    """

    nodes: Nodes
    step: int


def anchor_of(sampler: Sampler) -> Point:
    """Return the point at which lines cross: the model's own sizes, but batch 2 in place of 1, often a special case."""
    base = sampler.base
    batch_2 = tuple(2 if v.name == "batch" and v.base == 1 and v.high > 1 else v.base for v in sampler.variables)
    return batch_2 if batch_2 == base or isinstance(sampler.at(batch_2), Sample) else base


def lines(sampler: Sampler, anchor: Point) -> list[Line]:
    """Return a line for each variable.

    Raises:
        InputError: for some variable, no lattice was found on which costs are polynomials of low degree, or the model
            runs at hardly any other size.
    """
    found: list[Line] = []
    hint = 0  # the next spatial axis probably has the same lattice
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
        self.lines: dict[int, Line | None] = {}  # by step
        self.failed: list[tuple[int, Failure]] = []

    def at(self, size: int) -> Sample | Failure:
        """Return the costs at a size, with the other variables at the anchor."""
        point = (*self.anchor[: self.index], size, *self.anchor[self.index + 1 :])
        sample = self.sampler.at(point)
        if isinstance(sample, Failure) and (size, sample) not in self.failed:
            self.failed.append((size, sample))
        return sample

    def line(self, hint: int) -> Line:
        """Return the line on the finest lattice found on which costs are polynomials. Raises InputError without one."""
        unit = self.variable.step
        step = near_step = None  # near_step is that of a line that holds only near the anchor
        for tried, candidate in enumerate(self._candidates(hint, unit)):
            if near_step is not None and tried > _MAX_TRIED:
                break
            line = self.line_on(candidate)
            if line is not None and self._holds_far(line):
                step = candidate
                break
            if line is not None:
                near_step = near_step or candidate
        step = step or near_step
        if step is None:
            raise InputError(self._no_line_message())
        is_reduced = True
        while is_reduced:
            is_reduced = False
            for prime in _PRIMES:
                finer = self.line_on(step // prime) if step % (prime * unit) == 0 else None
                if finer is not None and (step == near_step or self._holds_far(finer)):
                    step, is_reduced = step // prime, True
                    break
        line = self.line_on(step)
        assert line is not None
        return line

    def _candidates(self, hint: int, unit: int) -> Iterator[int]:
        if hint and hint % unit == 0:
            yield hint
        yield unit
        if self.variable.strided and (guess := self._by_strides()) is not None and guess % unit == 0:
            yield guess
        yield from _LATTICES if unit == 1 else (unit * 2**i for i in range(5))

    def line_on(self, step: int) -> Line | None:
        """Return the line on a lattice, going up from the anchor or else down; None if costs are not polynomials."""
        if step not in self.lines:
            self.lines[step] = self._in_direction(step, 1) or self._in_direction(step, -1)
        return self.lines[step]

    def _holds_far(self, line: Line) -> bool:
        """Return whether a line also holds far away, because a floor may be constant over seven consecutive sizes."""
        start, step, _ = line.nodes
        rows = [self.at(size) for size in line.nodes.values]
        laws: list[Polynomial] = []
        for name in ADDITIVE:
            values = [row.totals[name] for row in rows if isinstance(row, Sample)]
            laws.append(Polynomial.of([Atom(0)], interpolate([line.nodes], values)))
        for far in _FAR:
            size = start + step * far
            sample = self.at(size) if self.variable.low <= size <= self.variable.high else None
            if isinstance(sample, Sample) and any(
                law.at((size,)) != sample.totals[name] for name, law in zip(ADDITIVE, laws, strict=True)
            ):
                return False
        return True

    def _in_direction(self, step: int, sign: int) -> Line | None:
        """Return the line up (`sign` 1) or down (−1) from the anchor; None if costs are not polynomials there."""
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
        """Return the least common multiple of the layers' total strides, found at one large size; None if unknown."""
        here, start = self.at(self.anchor[self.index]), self.anchor[self.index]
        if self.sampler.trace == "real":
            return None
        further = self.at(start + _STRIDE)
        if not isinstance(here, Sample) or not isinstance(further, Sample):
            return None
        steps = [1]
        for (path, shapes), (other, larger) in zip(here.outputs, further.outputs, strict=False):
            if path != other:
                break
            for a, b in zip(shapes, larger, strict=False):
                steps += [Fraction(q - p, _STRIDE).denominator for p, q in zip(a, b, strict=False) if p != q]
        # larger denominators come from axes whose growth is not the input's growth divided by a stride
        multiple = lcm(*(step for step in steps if step <= 1024))
        return multiple if 1 < multiple <= 8192 else None

    def _no_line_message(self) -> str:
        name, start = self.variable.name, self.anchor[self.index]
        ran = [
            point[self.index] for point in self.sampler.samples()
            if all(p == a for i, (p, a) in enumerate(zip(point, self.anchor, strict=True)) if i != self.index)
        ]  # fmt: skip
        fails = sorted({size for size, _ in self.failed})
        failed = f"fails at {', '.join(map(str, fails[:6]))}: {self.failed[0][1].reason}" if fails else ""
        runs = sorted(set(ran))
        if len(fails) > len(runs):
            at = f"{start} alone" if len(runs) == 1 else ", ".join(map(str, runs[:6]))
            return f"vary {name}: forward runs at {at}; it {failed}{self._advice()}"
        return (
            f"vary {name}: no lattice of sizes from {start} on was found on which the costs are polynomials of degree "
            f"4 or less{f' (forward {failed})' if failed else ''}; give the sizes that matter, such as "
            f"{name}={start},{2 * start},{4 * start}"
        )

    def _advice(self) -> str:
        """Return advice on what to vary instead of a variable whose size is fixed."""
        name = self.variable.name
        others = ",".join(v.name for v in self.sampler.variables if v.name != name)
        advice = f"; leave {name} out and vary {others}" if others else f"; {name} can't be varied"
        if {"height", "width"} & {v.name for v in self.sampler.variables}:
            advice += "; height and width of squares vary together as size"
        return advice
