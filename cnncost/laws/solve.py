"""Finds the largest size within a budget by a law, and verifies it by direct analysis."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from cnncost import units
from cnncost.budget.limits import Limit, parse_limit
from cnncost.budget.quantities import QUANTITIES, Quantity
from cnncost.errors import CnncostError, InputError
from cnncost.laws.polynomial import Point
from cnncost.laws.samples import Sample

if TYPE_CHECKING:
    from cnncost.laws.data import LawsData
    from cnncost.laws.law import Law
    from cnncost.laws.samples import Sampler

_FORM = re.compile(r"\s*([A-Za-z_]+)\s*(<=|≤|<)\s*(\S.*)")
_MOST = 2**40
"""The search does not go beyond this size."""
_SCAN = 20_000
"""Maximum number of sizes to try one by one if the law may decrease as the size grows."""


class Solution(NamedTuple):
    """The largest size of a variable within a budget.

    Attributes:
        name: the variable's name.
        size: the largest size; None if no size is within the budget, or there is no largest one.
        value: the cost at `size`; None if `size` is None.
        further: the next size, which is over the budget; None if unknown.
        further_value: the cost at `further`; None if unknown.
        at: sizes of the other variables.
        note: why the size is not larger, if for another reason than the budget, or why there is none.
        verified: whether direct analyses at these sizes found the same costs.
        among: the lattice on which `size` is the largest, such as `multiples of 32`; empty for all sizes.
    """

    name: str
    size: int | None
    value: int | None
    further: int | None
    further_value: int | None
    at: dict[str, int]
    note: str = ""
    verified: bool = False
    among: str = ""


def solve(laws: LawsData, budget: str, sizes: dict[str, int]) -> dict[str, Solution]:
    """Return a solution for each variable without a given size. Raises InputError like `Laws.solve`."""
    quantity, limit = parse(budget, laws)
    law = laws[quantity]
    if not law.known:
        raise InputError(f"solve {budget}: {quantity} has no law: {law.why}")
    if law.bound:
        raise InputError(
            f"solve {budget}: {quantity} is a lower bound ({law.bound}), so it is unknown which sizes are within the "
            "budget"
        )
    for name in sizes:
        if name not in law.names:
            raise InputError(f"solve: {name} is not a variable of these laws; expected {', '.join(law.names)}")
    base = tuple(sizes.get(v.name, v.base) for v in laws.variables)
    solutions: dict[str, Solution] = {}
    for index, variable in enumerate(laws.variables):
        if variable.name not in sizes:
            solutions[variable.name] = _Search(law, laws.sampler, limit, index, base).solution()
    if not solutions:
        raise InputError("solve: sizes are given for all variables; leave out the one to solve for")
    if all(each.size is None for each in solutions.values()):
        first = next(iter(solutions.values()))
        raise InputError(f"solve {budget}: {first.note}")
    return solutions


def parse(budget: str, laws: LawsData) -> tuple[str, Limit]:
    """Parse `"macs <= 2G"` to a quantity and its limit. Raises InputError."""
    match = _FORM.fullmatch(budget)
    if match is None:
        raise InputError(f"solve {budget!r}: expected a budget such as 'macs <= 2G' or 'training_peak <= 24GiB'")
    name, sign, amount = match.groups()
    _ = laws[name]  # raises for an unknown name
    # bytes read and written are no quantity of budgets; parsing the limit needs only the unit
    budget_quantity = QUANTITIES.get(name) or Quantity(name, name, "bytes read and written", "bytes", lambda *_: 0)
    try:
        limit = parse_limit(f"{sign} {amount}", budget_quantity)
    except CnncostError as error:
        raise InputError(f"solve {budget!r}: {error}") from None
    if limit.relative:
        raise InputError(f"solve {budget!r}: expected an amount such as 2G, not a relative change")
    return name, limit


class _Search:
    """The search along the variable with index `index`, with all others as in `base`."""

    def __init__(self, law: Law, sampler: Sampler, limit: Limit, index: int, base: Point) -> None:
        self.law, self.sampler, self.limit, self.index, self.base = law, sampler, limit, index, base
        self.span = law.domain[index]

    def point(self, size: int) -> Point:
        """Return the point with this size, and the other variables as in `base`."""
        return (*self.base[: self.index], size, *self.base[self.index + 1 :])

    def is_within(self, size: int) -> bool:
        """Return whether the law is within the budget at a size."""
        return self.limit.holds(Fraction(self.law.value(self.point(size))), self.limit.number)

    def solution(self) -> Solution:
        """Return the largest size by the law, verified by direct analysis."""
        law, span, name = self.law, self.span, self.law.names[self.index]
        others = {n: size for i, (n, size) in enumerate(zip(law.names, self.base, strict=True)) if i != self.index}
        for other, size in others.items():
            domain = law.domain[law.names.index(other)]
            if not domain.has(size):
                return Solution(
                    name, None, None, None, None, others, f"no law at {other} = {size}; give {other} a size"
                )
        if not any(piece.depends_on(self.index) for piece in law.pieces):
            return Solution(name, None, None, None, None, others, self._independent())
        if not self.is_within(span.low):
            return Solution(name, None, None, span.low, None, others, self._too_large())
        size, next_size = self._largest()
        return self._verified(size, next_size, others)._replace(among=span.lattice)

    def _independent(self) -> str:
        """Return a sentence on a cost that does not depend on the variable in the domain of its law."""
        span, variable = self.span, self.sampler.variables[self.index]
        everywhere = not span.below and not span.above and span.step == variable.step
        sizes = "" if everywhere else f" from {span.low} to {span.high}"
        if self.is_within(span.low):
            return f"there is no largest size: every size{sizes} is within the budget; the cost does not depend on " + (
                variable.name if everywhere else f"{variable.name} there"
            )
        if everywhere:
            return f"no size is within the budget: the cost does not depend on {variable.name}"
        return f"no size{sizes} is within the budget, and the cost of other sizes is not known"

    def _too_large(self) -> str:
        """Return a sentence on the smallest size, which is over the budget."""
        low, name = self.span.low, self.law.names[self.index]
        value = units.exact(self.law.value(self.point(low)))
        if low == self.sampler.variables[self.index].low:
            return f"no size is within the budget: {name} = {low} already needs {value}"
        smallest = f"{name} = {low}, the smallest for which the law is known, already needs {value}"
        return f"no size is known to be within the budget: {smallest}"

    def _largest(self) -> tuple[int, int | None]:
        """Return the largest size within the budget, and the next size; None if the law is not known to hold there."""
        span = self.span
        if not self._grows():
            return self._largest_by_scan()
        good, bad = span.low, span.high
        while self.is_within(bad):
            good = bad
            if span.above or bad >= _MOST or self.sampler.variables[self.index].firm:
                return bad, None
            bad = span.low + (2 * bad - span.low) // span.step * span.step
        while bad - good > span.step:
            middle = good + (bad - good) // (2 * span.step) * span.step
            good, bad = (middle, bad) if self.is_within(middle) else (good, middle)
        return good, bad

    def _largest_by_scan(self) -> tuple[int, int | None]:
        """Return the same as `_largest`, after trying all sizes."""
        span = self.span
        count = (span.high - span.low) // span.step + 1
        if count > _SCAN:
            raise InputError(
                f"solve: the law may fall as {self.law.names[self.index]} grows, and there are {count:,} sizes to try; "
                f"give a range, such as {self.law.names[self.index]}={span.low}..{span.low + 1000 * span.step}"
            )
        within = [size for size in range(span.low, span.high + 1, span.step) if self.is_within(size)]
        return within[-1], within[-1] + span.step if within[-1] < span.high else None

    def _grows(self) -> bool:
        """Return whether all pieces surely grow because no coefficient of their expansions about `low` is negative."""
        from cnncost.laws.polynomial import Nodes, interpolate

        for piece in self.law.pieces:
            degree = max(
                (p[i] for p, _ in piece.terms for i, atom in enumerate(piece.atoms) if atom.axis == self.index),
                default=0,
            )
            nodes = Nodes(self.span.low, self.span.step, degree)
            values = [piece.at(self.point(size)) for size in nodes.values]
            scale = max(value.denominator for value in values)  # `interpolate` takes ints; only signs matter here
            scaled = [int(value * scale) for value in values]
            coefficients = interpolate([nodes], scaled, (self.span.low,))
            if any(coefficient < 0 for powers, coefficient in coefficients.items() if powers[0]):
                return False
        return True

    def _verified(self, size: int, next_size: int | None, others: dict[str, int]) -> Solution:
        """Return the solution, checked by direct analyses at both sizes.

        If the analysis contradicts the law at a size beyond its domain, the solution is the domain's largest size.

        Raises:
            InputError: the law is contradicted at a size in its domain.
        """
        name = self.law.names[self.index]
        value = self.law.value(self.point(size))
        difference = self._difference(size, value)
        if difference:
            top = self.span.high
            if size <= top or not self.is_within(top):
                raise InputError(f"solve: at {name} = {size:,} {difference}; the law was checked only at other sizes")
            top_value = self.law.value(self.point(top))
            note = f"the law allows {size:,}, but there {difference}; this is the largest that was checked"
            is_verified = not self._difference(top, top_value)
            return Solution(name, top, top_value, None, None, others, note, verified=is_verified)
        if next_size is None:
            end = self.span.above or f"{name} was varied to {size:,}"
            note = f"the cost is within the budget up to the last size for which the law is known: {end}"
            return Solution(name, size, value, None, None, others, note, verified=True)
        next_value = self.law.value(self.point(next_size))
        difference = self._difference(next_size, next_value)
        note = f"at {next_size:,} {difference}" if difference else ""
        return Solution(name, size, value, next_size, next_value, others, note, verified=not difference)

    def _difference(self, size: int, value: int) -> str:
        """Return how a direct analysis differs from `value`; empty if it agrees."""
        sample = self.sampler.at(self.point(size), full=self.law.quantity not in {"macs", "flops", "bytes", "params"})
        if not isinstance(sample, Sample):
            return f"the analysis fails: {sample.reason}"
        total = sample.totals.get(self.law.quantity)
        if total is None:
            return f"the training step fails: {sample.untrained}"
        return "" if total == value else f"a direct analysis gives {total:,}, not {value:,}"
