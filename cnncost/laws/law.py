"""Law: a cost as an exact function of sizes, with the sizes for which it holds and at which it was checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from cnncost import units
from cnncost.errors import InputError
from cnncost.laws import writing
from cnncost.laws.polynomial import Atom, Point, Polynomial, Powers
from cnncost.near import suggestion


class Span(NamedTuple):
    """The sizes of one variable for which a law holds: low, low + step, … up to high.

    Attributes:
        low: the smallest size.
        high: the largest size.
        step: difference between neighboring sizes.
        below: why the law does not hold below `low`; empty if no contradiction is known.
        above: why the law does not hold above `high`; empty if no contradiction is known.
    """

    low: int
    high: int
    step: int
    below: str = ""
    above: str = ""

    def has(self, size: int) -> bool:
        """Return whether a size is in the span."""
        return self.low <= size <= self.high and (size - self.low) % self.step == 0

    @property
    def lattice(self) -> str:
        """The lattice in words, `multiples of 32` or `32·k + 3`; empty for all integers."""
        remainder = self.low % self.step
        if self.step == 1:
            return ""
        return f"{self.step}·k + {remainder}" if remainder else f"multiples of {self.step}"


class Term(NamedTuple):
    """A term of a law.

    Attributes:
        coefficient: its exact coefficient.
        powers: the exponents, by symbol; empty for the constant term.
        layers: what each module's own ops contribute to the coefficient, by path; empty if the quantity is not a sum
            over layers.
    """

    coefficient: Fraction
    powers: dict[str, int]
    layers: dict[str, Fraction]


@dataclass(frozen=True, repr=False)
class Law:
    """The exact cost at any sizes in the domain: `law(batch=2, height=256)`.

    Attributes:
        quantity: `macs`, `flops`, `bytes`, `params`, `activations`, `inference_peak` or `training_peak`.
        names: the variables' names, which are the keyword arguments of a call.
        symbols: the variables' symbols in formulas.
        pieces: polynomials of which the law is the maximum, several only for peaks; empty if no law was found.
        domain: the sizes for which the law holds, for each variable.
        checked: points that were not used to find the law and at which a direct analysis agrees with it.
        bound: why the values are lower bounds; empty if they are exact.
        why: why there is no law; empty if there is one.
        samples: results of direct analyses, by point.
        parts: the layers' polynomials, by module path, of which the law is the sum; empty if it is none.
        base: the model's own sizes.
        everywhere: the law with floors, for all sizes of the range; None if no such law was found.
    """

    quantity: str
    names: tuple[str, ...]
    symbols: tuple[str, ...]
    pieces: tuple[Polynomial, ...]
    domain: tuple[Span, ...]
    checked: tuple[Point, ...]
    bound: str = ""
    why: str = ""
    samples: dict[Point, int] = field(default_factory=dict, repr=False)
    parts: dict[str, Polynomial] = field(default_factory=dict, repr=False)
    base: Point = ()
    everywhere: Law | None = None

    def __call__(self, **sizes: int) -> int:
        """Return the exact cost at these sizes, one per variable. A name with a dot is passed as `**{"ids.1": 64}`.

        Raises:
            InputError: a variable is missing or unknown, a size is not an int or is outside the domain, or there is no
                law and no sample at these sizes.
        """
        return self.at(self.point(sizes))

    def point(self, sizes: dict[str, int]) -> Point:
        """Return sizes by name or symbol as a point.

        Raises:
            InputError: a variable is missing or unknown, or a size is not an int.
        """
        by_name: dict[str, int] = {}
        for name, size in sizes.items():
            full_name = name if name in self.names else dict(zip(self.symbols, self.names, strict=True)).get(name)
            if full_name is None:
                near = suggestion(name, self.names) or f"; expected {', '.join(self.names)}"
                raise InputError(f"{self.quantity}: {name} is not a variable of this law{near}")
            if isinstance(size, bool) or not isinstance(size, int):
                raise InputError(f"{self.quantity}: {name}: expected a whole number, got {size!r}")
            by_name[full_name] = size
        if missing := [name for name in self.names if name not in by_name]:
            raise InputError(f"{self.quantity}: expected a size for {', '.join(missing)}, too")
        return tuple(by_name[name] for name in self.names)

    def at(self, point: Point) -> int:
        """Return the exact cost at a point: by the law, by the law with floors, or without a law from a sample.

        Raises:
            InputError: the point is outside the domain, or there is no law and no sample.
        """
        if not self.pieces:
            if point in self.samples:
                return self.samples[point]
            raise InputError(f"{self.quantity}: {self.why}")
        for name, span, size in zip(self.names, self.domain, point, strict=True):
            if not span.has(size):
                if self.everywhere is not None:
                    return self.everywhere.at(point)
                raise InputError(f"{self.quantity}: the law {self._outside(name, span, size)}")
        return self.value(point)

    def value(self, point: Point) -> int:
        """Return the formula's value at any point. Outside the domain it may be wrong.

        Raises:
            InputError: the value is not an integer and therefore can't be a cost.
        """
        value = max(piece.at(point) for piece in self.pieces)
        if value.denominator != 1:
            raise InputError(f"{self.quantity}: the formula gives {value} here, which can't be a cost")
        return value.numerator

    def _outside(self, name: str, span: Span, size: int) -> str:
        if size < span.low:
            reason = f": below, {span.below}" if span.below else ""
            return f"holds from {name} = {units.exact(span.low)} on, got {size}{reason}"
        if size > span.high:
            reason = (
                f": above, {span.above}" if span.above else f"; to check it further, vary {name}={span.low}..{size}"
            )
            return f"was checked up to {name} = {units.exact(span.high)}, got {size}{reason}"
        return f"holds for {name} = {span.lattice}, got {size}"

    @property
    def known(self) -> bool:
        """Whether a law was found; otherwise only sampled points are known."""
        return bool(self.pieces)

    @property
    def constant(self) -> bool:
        """Whether the law is one polynomial that does not depend on any variable."""
        return len(self.pieces) == 1 and all(not any(powers) for powers, _ in self.pieces[0].terms)

    @property
    def lattice(self) -> dict[str, str]:
        """The sizes for which the law holds, by variable, in words: `multiples of 32 from 32 to 3,584`."""
        return {name: span_text(span) for name, span in zip(self.names, self.domain, strict=True)}

    def along(self, name: str) -> list[tuple[int, int, Polynomial]]:
        """Return the largest piece in each range of one variable, with all others at the model's own sizes.

        If there are too many sizes to try all, some are tried, and changes between them are found by bisection.

        Returns:
            (first size, last size, piece) of each range, in order; empty if there is no law, or if the model's own size
            of another variable is outside the domain.
        """
        index = self.names.index(name)
        span = self.domain[index] if self.domain else None
        outside = any(not s.has(n) for i, (s, n) in enumerate(zip(self.domain, self.base, strict=True)) if i != index)
        if span is None or outside:
            return []
        ranges: list[tuple[int, int, Polynomial]] = []
        sizes = _probes(span)
        for size, following in zip(sizes, [*sizes[1:], None], strict=True):
            piece = self._largest(index, size)
            if ranges and ranges[-1][2] is piece:
                ranges[-1] = (ranges[-1][0], size, piece)
            else:
                ranges.append((size, size, piece))
            while following is not None and self._largest(index, following) is not (piece := ranges[-1][2]):
                last, first = ranges[-1][1], following
                while first - last > span.step:
                    middle = last + (first - last) // (2 * span.step) * span.step
                    last, first = (middle, first) if self._largest(index, middle) is piece else (last, middle)
                ranges[-1] = (ranges[-1][0], last, piece)
                if first == following:
                    break
                ranges.append((first, first, self._largest(index, first)))
        return ranges

    def _largest(self, index: int, size: int) -> Polynomial:
        point = (*self.base[:index], size, *self.base[index + 1 :])
        return max(self.pieces, key=lambda piece: piece.at(point))

    @property
    def terms(self) -> tuple[Term, ...]:
        """The polynomial's terms, with the layers that contribute to them; empty if there is not exactly one piece."""
        if len(self.pieces) != 1:
            return ()
        law = self.pieces[0]
        parts = {path: dict(_by_atoms(part)) for path, part in self.parts.items()}
        terms = []
        for powers, coefficient in law.terms:
            key = _key(powers, law.atoms)
            layers = {path: part[key] for path, part in parts.items() if key in part}
            named = {
                writing.term_text(_unit_powers(i, law), law.atoms, self.symbols): power
                for i, power in enumerate(powers) if power
            }  # fmt: skip
            terms.append(Term(coefficient, named, layers))
        return tuple(terms)

    def __repr__(self) -> str:
        if not self.known:
            return f"<Law {self.quantity} {self}>"
        checked = units.counted(len(self.checked), "size")
        return f"<Law {self.quantity} = {self} for {domain_text(self)}, checked at {checked}>"

    def __str__(self) -> str:
        if not self.pieces:
            return f"not known: {self.why}"
        texts = [writing.to_text(piece, self.symbols) for piece in self.pieces]
        return ("≥ " if self.bound else "") + (texts[0] if len(texts) == 1 else f"max({', '.join(texts)})")

    def latex(self) -> str:
        """Return the formula in LaTeX, without dollar signs. Raises InputError if there is no law."""
        texts = [writing.to_latex(piece, self.symbols) for piece in self._pieces()]
        return (r"\geq " if self.bound else "") + (texts[0] if len(texts) == 1 else rf"\max({', '.join(texts)})")

    def sympy(self) -> Any:
        """Return the formula as a SymPy expression. Raises InputError if there is no law."""
        from importlib import import_module

        expressions = [writing.to_sympy(piece, self.symbols) for piece in self._pieces()]
        return expressions[0] if len(expressions) == 1 else import_module("sympy").Max(*expressions)

    def _pieces(self) -> tuple[Polynomial, ...]:
        """Return the pieces. Raises InputError if there are none."""
        if not self.pieces:
            raise InputError(f"{self.quantity}: {self.why}")
        return self.pieces


def _probes(span: Span) -> list[int]:
    """Return all sizes of a span, or a few hundred sizes of a long one: 16 for each doubling of the number of steps."""
    count = (span.high - span.low) // span.step + 1
    if count <= _TRY_ALL:
        return list(range(span.low, span.high + 1, span.step))
    steps = {0, count - 1, *(k * (1 << e) for e in range(count.bit_length()) for k in range(16, 32))}
    return [span.low + k * span.step for k in sorted({*steps, *range(16)}) if k < count]


_TRY_ALL = 256
"""Maximum length of a span of which all sizes are tried."""


def _unit_powers(index: int, law: Polynomial) -> Powers:
    """Return the powers of a term that consists of one atom."""
    return tuple(int(i == index) for i in range(len(law.atoms)))


def _key(powers: Powers, atoms: Sequence[Atom]) -> frozenset[tuple[Atom, int]]:
    return frozenset((atom, power) for atom, power in zip(atoms, powers, strict=True) if power)


def _by_atoms(law: Polynomial) -> list[tuple[frozenset[tuple[Atom, int]], Fraction]]:
    """Return (powers by atom, coefficient) of each term, by which polynomials over different atoms can be compared."""
    return [(_key(powers, law.atoms), coefficient) for powers, coefficient in law.terms]


def span_text(span: Span) -> str:
    """Return a span in words: `multiples of 32 from 32 to 3,584`, `from 1 to 65,536`."""
    ends = f"from {units.exact(span.low)} to {units.exact(span.high)}" if span.low < span.high else str(span.low)
    return f"{span.lattice} {ends}".strip()


def domain_text(law: Law) -> str:
    """Return a law's domain in words: `H, W multiples of 32 from 32 to 3,584 and B from 1 to 65,536`."""
    groups: dict[str, list[str]] = {}
    for symbol, span in zip(law.symbols, law.domain, strict=True):
        equal = "= " if span.lattice and span.low % span.step else ""
        groups.setdefault(equal + span_text(span), []).append(symbol)
    return " and ".join(f"{', '.join(symbols)} {text}" for text, symbols in groups.items())
