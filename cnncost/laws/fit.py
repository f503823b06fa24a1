"""Finds laws from samples, by exact interpolation on a grid, and checks them by direct analyses at other points."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from random import Random

from cnncost.errors import InputError
from cnncost.laws.box import Fitted, distance, draw, size_of
from cnncost.laws.checks import Checks
from cnncost.laws.law import Span
from cnncost.laws.polynomial import Atom, Point, Polynomial, grid, interpolate, undominated
from cnncost.laws.samples import ADDITIVE, PEAKS, QUANTITIES, TRAINED, Failure, Sample, Sampler
from cnncost.laws.search import Line

_ROUNDS, _LEAST = 4, 6
"""Maximum number of rounds of checks, and minimum number of points at which a law must have been checked."""
_MAX_GRID = 128
"""Maximum number of points of the interpolation grid."""
_ON_FINER = 3
"""Number of points on a finer lattice at which a law must hold before its domain is extended to that lattice."""
_NEAR = 8
"""Maximum number of points at which memory is analyzed, too, because the law of an additive quantity fails there."""
_MAX_CONTRADICTIONS = 24
"""Number of contradictions after which a law is given up."""


class Fit:
    """Finds all laws of a model from its lines, and checks them.

    Attributes:
        laws: the laws, by quantity.
        layers: the polynomials of the modules' own ops, by additive quantity and module path.
        irregular: paths of the modules without a law for some quantity.
    """

    def __init__(self, sampler: Sampler, anchor: Point, lines: Sequence[Line]) -> None:
        self.sampler, self.anchor, self.lines = sampler, anchor, lines
        self.checks = Checks(sampler, anchor, _LEAST)
        self.nodes = [line.nodes for line in lines]
        self._polynomials: dict[tuple[int, ...], Polynomial] = {}
        self._without_timelines: set[str] = set()
        self.points = self._grid()
        samples = [self._sample(point) for point in self.points]
        self.layers = self._layers(samples)
        box = [self._widest(i) for i in range(len(lines))]
        self.laws = {name: Fitted(pieces, list(box)) for name, pieces in self._pieces(samples, box).items()}
        box = self._bounded(box)
        self.irregular: tuple[str, ...] = ()
        self._check(box)

    def _grid(self) -> list[Point]:
        points = grid(self.nodes)
        if len(points) > _MAX_GRID:
            names = ", ".join(v.name for v in self.sampler.variables)
            raise InputError(f"vary {names}: at least {len(points)} analyses would be needed; vary fewer at a time")
        return points

    def _sample(self, point: Point) -> Sample:
        sample = self.sampler.at(point, full=True)
        if isinstance(sample, Failure):
            where = ", ".join(f"{v.name} {n}" for v, n in zip(self.sampler.variables, point, strict=True))
            raise InputError(
                f"formula: the analysis fails at {where}, but not at any of these sizes alone: {sample.reason}"
            )
        return sample

    def _polynomial(self, values: Sequence[int]) -> Polynomial:
        """Return the polynomial through the values at all grid points (cached, because many layers have equal laws)."""
        key = tuple(values)
        if key not in self._polynomials:
            atoms = [Atom(i) for i in range(len(self.nodes))]
            self._polynomials[key] = Polynomial.of(atoms, interpolate(self.nodes, key))
        return self._polynomials[key]

    def _pieces(self, samples: list[Sample], box: list[Span]) -> dict[str, list[Polynomial]]:
        """Return each quantity's pieces: one polynomial, or for peaks those of all ops at which the peak may be."""
        pieces: dict[str, list[Polynomial]] = {}
        for name in QUANTITIES:
            if any(name not in sample.totals for sample in samples):
                continue
            pieces[name] = [self._polynomial([sample.totals[name] for sample in samples])]
            if name not in PEAKS:
                continue
            runs = [sample.timelines[name] for sample in samples]
            if len({len(run) for run in runs}) == 1 and runs[0]:
                pieces[name] = undominated(zip(*runs, strict=True), self.nodes, tuple(span.low for span in box))
            else:
                # the number of ops differs between points, so ops have no polynomials: a contradiction ends the law
                self._without_timelines.add(name)
        return pieces

    def _layers(self, samples: list[Sample]) -> dict[str, dict[str, Polynomial]]:
        paths = dict.fromkeys(path for sample in samples for path in sample.layers)
        return {
            name: {path: self._polynomial([s.of_layer(path, name) for s in samples]) for path in paths}
            for name in ADDITIVE
        }

    # ---- the domain

    def _widest(self, index: int) -> Span:
        """Return the whole range of a variable, on its lattice."""
        variable, step, start = self.sampler.variables[index], self.lines[index].step, self.anchor[index]
        return Span(variable.low + (start - variable.low) % step, variable.high - (variable.high - start) % step, step)

    def _bounded(self, box: list[Span]) -> list[Span]:
        """Narrow each additive law's domain to the sizes at which it holds along each variable; return that of MACs.

        Laws of memory also start with the domain of MACs, and are then checked against samples with memory.
        """
        for name in ADDITIVE:
            self.laws[name].domain = [self._bound(name, index, span) for index, span in enumerate(box)]
        widest = self.laws["macs"].domain
        for name, law in self.laws.items():
            if name not in ADDITIVE:
                law.domain = list(widest)
        return list(widest)

    def _bound(self, name: str, index: int, span: Span) -> Span:
        """Return the span in which a law holds along a variable, with the reasons why it does not hold beyond."""
        start, step = self.anchor[index], span.step
        low, below = self._last_size(name, index, [span.low], step)
        ladder = [span.low + (start * 16**k - span.low) // step * step for k in range(1, 5)]  # cheap sizes first
        high, above = self._last_size(name, index, [*(n for n in ladder if n < span.high), span.high], step)
        return Span(low, high, step, below, above)

    def _last_size(self, name: str, index: int, ladder: Sequence[int], step: int) -> tuple[int, str]:
        """Return the last size along a ladder at which a law holds, and why it does not hold beyond, if known."""
        good = self.anchor[index]
        for size in ladder:
            point = self._at(self.anchor, index, size)
            if self._contradiction(name, point):
                return self._bisected(name, self.anchor, index, good, size, step)
            if self.sampler.is_slow(point) and size > good:  # forward loops over the size; larger ones take too long
                break
            good = size
        return good, ""

    def _bisected(self, name: str, others: Point, index: int, good: int, bad: int, step: int) -> tuple[int, str]:
        """Return the last size towards `bad` at which a law holds, by bisection, and why it fails at the next size."""
        while abs(bad - good) > step:
            half = abs(bad - good) // (2 * step) * step
            middle = good + (half if bad > good else -half)
            if self._contradiction(name, self._at(others, index, middle)):
                bad = middle
            else:
                good = middle
        point = self._at(others, index, bad)
        return good, f"at {self._point_text(point)}, {self._contradiction(name, point)}"

    @staticmethod
    def _at(point: Point, index: int, size: int) -> Point:
        return (*point[:index], size, *point[index + 1 :])

    def _contradiction(self, name: str, point: Point) -> str:
        """Return why a law does not hold at a point; empty if it holds."""
        sample = self.sampler.at(point, full=name not in ADDITIVE)
        if not self._contradicted(name, self.laws[name], point, sample):
            return ""
        return self._reason(name, point, sample)

    def _first_departure(self, sample: Sample, point: Point, name: str) -> str:
        """Return a clause on the first layer that does not follow its law at a point, or on the quantity itself."""
        for path, law in self.layers[name].items() if name in self.layers else ():
            if law.at(point) != sample.of_layer(path, name):
                return f"{path or 'the model itself'} no longer follows its law of {name}"
        new = [path for path in sample.layers if name in self.layers and path not in self.layers[name]]
        return f"{new[0]} is called, which is not called elsewhere" if new else f"{name} no longer follows its law"

    # ---- checks

    def _check(self, box: list[Span]) -> None:
        """Analyze further points of a box. If they contradict a law, narrow its domain, or give it up."""
        random = Random(0)  # noqa: S311  # the same points in every run
        steps = [line.step for line in self.lines]
        for point in [*self.checks.of_box(random, box), *self.checks.off_lattice(random, box, steps)]:
            self.sampler.at(point, full=True)
        for point in [*self.checks.around_anchor(box, self.points), *self.checks.squares(box)]:
            self.sampler.at(point)
        for name, law in self.laws.items():
            if name not in ADDITIVE:
                self._sample_departures()
            known = box
            for _ in range(_ROUNDS):
                if not self._exclude_contradictions(name, law) or law.domain == known:
                    break
                known = list(law.domain)  # it was narrowed
                self._check_narrowed(name, law, random)
            self._finish(name, law)
        self._check_layers()

    def _check_narrowed(self, name: str, law: Fitted, random: Random) -> None:
        """Analyze points of a narrowed domain: corners, squares, some near the anchor, random ones if few are left.

        The points near the anchor that were analyzed before may all be outside the domain in some other variable.
        """
        near = self.checks.around_anchor(law.domain, self.points) if name in ADDITIVE else []
        for point in [*self.checks.corners(law.domain), *self.checks.squares(law.domain), *near]:
            self.sampler.at(point, full=name not in ADDITIVE)
        self._set_checked(name, law)
        for _ in range(_LEAST if len(law.checked) < _LEAST else 0):
            self.sampler.at(draw(random, law.domain), full=True)

    def _sample_departures(self) -> None:
        """Analyze memory, too, at points near the anchor that contradict an additive law: forward differs there."""
        laws = [(name, law) for name, law in self.laws.items() if name in ADDITIVE and law.pieces]
        departures = [
            point
            for point, sample in self.sampler.samples().items()
            if any(self._contradicted(name, law, point, sample) for name, law in laws)
        ]
        for point in sorted(departures, key=partial(distance, self.anchor))[:_NEAR]:
            self.sampler.at(point, full=True)

    def _inside(self, law: Fitted, points: Sequence[Point]) -> list[Point]:
        return [p for p in points if all(span.has(size) for span, size in zip(law.domain, p, strict=True))]

    def _exclude_contradictions(self, name: str, law: Fitted) -> bool:
        """Narrow the domain until no known point contradicts the law; return False if the law is given up."""
        for _ in range(_MAX_CONTRADICTIONS):
            samples = self.sampler.results()
            inside = self._inside(law, list(samples))
            bad = next((p for p in inside if self._contradicted(name, law, p, samples[p])), None)
            if bad is None:
                return True
            reason = self._reason(name, bad, samples[bad])
            if name in self._without_timelines or not self._exclude(name, law, bad):
                law.why = f"contradicted at {self._point_text(bad)}: {reason}"
                return False
        law.why = "contradicted at many sizes, some of them between sizes at which it holds"
        return False

    @staticmethod
    def _contradicted(name: str, law: Fitted, point: Point, sample: Sample | Failure) -> bool:
        if isinstance(sample, Failure):
            return True
        if name in sample.totals:
            return law.value(point) != sample.totals[name]
        return name in TRAINED and bool(sample.untrained)

    def _reason(self, name: str, point: Point, sample: Sample | Failure) -> str:
        if isinstance(sample, Failure):
            return f"the analysis fails: {sample.reason}"
        if name not in sample.totals:
            return f"the training step fails: {sample.untrained}"
        return self._first_departure(sample, point, name)

    def _exclude(self, name: str, law: Fitted, bad: Point) -> bool:
        """Narrow the domain to exclude a contradicting point; return False if the law is contradicted at the anchor.

        The bound that moves is that of the variable whose size has the largest ratio to its anchor. It is found by
        bisection, with the other variables as at the contradicting point.
        """
        while True:
            ratios = [Fraction(max(b, a), min(b, a)) for b, a in zip(bad, self.anchor, strict=True)]
            index = max(range(len(bad)), key=ratios.__getitem__)
            span, start = law.domain[index], self.anchor[index]
            if bad[index] == start:
                return False
            if self._contradiction(name, self._at(bad, index, start)):
                bad = self._at(bad, index, start)
                continue
            last, wrong = self._bisected(name, bad, index, start, bad[index], span.step)
            if bad[index] < start:
                law.domain[index] = span._replace(low=last, below=wrong)
            else:
                law.domain[index] = span._replace(high=last, above=wrong)
            return True

    def _point_text(self, point: Point) -> str:
        return ", ".join(f"{v.symbol} = {n:,}" for v, n in zip(self.sampler.variables, point, strict=True))

    def _set_checked(self, name: str, law: Fitted) -> None:
        used = set(self.points)
        samples = {p: s for p, s in self.sampler.samples().items() if name in s.totals}
        law.checked = sorted(p for p in self._inside(law, list(samples)) if p not in used)

    def _finish(self, name: str, law: Fitted) -> None:
        """Give the law up, or extend it to the finest lattice on which it holds."""
        if not law.why:
            self._exclude_contradictions(name, law)  # sets `why` if it gives the law up
        self._set_checked(name, law)
        if not law.why and len(law.checked) < min(_LEAST, self._unused_points(law)):
            law.why = f"too few points to check it: {len(law.checked)}"
        if law.why:
            law.pieces, law.checked = [], []
            return
        self._refine(name, law)
        self._set_checked(name, law)

    def _unused_points(self, law: Fitted) -> int:
        """Return the number of points in the domain that were not used to find the law, or 1 if there are none."""
        return max(size_of(law.domain) - len(self._inside(law, self.points)), 1)

    def _refine(self, name: str, law: Fitted) -> None:
        """Use a finer lattice for a variable if the law holds at all known and some further points of that lattice."""
        random, coarse = Random(2), list(law.domain)  # noqa: S311  # the same points in every run
        for index, variable in enumerate(self.sampler.variables):
            for step in range(variable.step, law.domain[index].step, variable.step):
                if law.domain[index].step % step == 0 and self._is_finer(name, law, index, step):
                    law.domain[index] = law.domain[index]._replace(step=step)
                    break
        if law.domain == coarse:
            return
        if name in ADDITIVE:
            for _ in range(_LEAST):
                self.sampler.at(draw(random, law.domain))
            for point in self.checks.around_anchor(law.domain, self.points):
                self.sampler.at(point)
        results = self.sampler.results()
        if any(self._contradicted(name, law, p, results[p]) for p in self._inside(law, list(results))):
            law.domain = coarse

    def _is_finer(self, name: str, law: Fitted, index: int, step: int) -> bool:
        """Return whether a law holds at all known points of a finer lattice, of which some are on no coarser one."""
        span = law.domain[index]
        finer = Fitted(law.pieces, list(law.domain))
        finer.domain[index] = span._replace(step=step)
        times = span.step // step
        coarser_steps = [step * k for k in range(2, times + 1) if times % k == 0]  # up to the current one
        for offset in (0, 1, -1, 3):  # 0: the known points may suffice
            size = self.anchor[index] + offset * step
            if offset and name in ADDITIVE and finer.domain[index].has(size):
                self.sampler.at(self._at(self.anchor, index, size))
            results = self.sampler.results()
            inside = self._inside(finer, [p for p, s in results.items() if isinstance(s, Failure) or name in s.totals])
            if any(self._contradicted(name, law, p, results[p]) for p in inside):
                return False
            if sum(all((p[index] - span.low) % coarser for coarser in coarser_steps) for p in inside) >= _ON_FINER:
                return True
        return False

    def _check_layers(self) -> None:
        """Drop the layers' laws that a sample in the domain of the total's law contradicts."""
        irregular: dict[str, None] = {}
        for name, laws in self.layers.items():
            samples = self.sampler.samples()
            inside = self._inside(self.laws[name], list(samples))
            for path in list(laws):
                law = laws[path]
                if any(law.at(p) != samples[p].of_layer(path, name) for p in inside):
                    irregular[path] = None
                    del laws[path]
            new = {path for p in inside for path in samples[p].layers} - set(laws) - set(irregular)
            irregular |= dict.fromkeys(sorted(new))
        self.irregular = tuple(irregular)
