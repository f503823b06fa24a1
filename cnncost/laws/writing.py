"""Writes laws as text, LaTeX and SymPy expressions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from importlib import import_module
from typing import Any

from cnncost import units
from cnncost.laws.polynomial import Atom, Polynomial, Powers

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def to_text(law: Polynomial, symbols: Sequence[str]) -> str:
    """Return a law as text: `B·(76,848·H·W + 2,048,000)`. Powers common to all terms are factored out."""
    names = [_atom_text(atom, symbols) for atom in law.atoms]

    def factor(index: int, power: int) -> str:
        return names[index] + (str(power).translate(_SUPERSCRIPTS) if power > 1 else "")

    return _written(law, factor, units.exact, "·", ("(", ")"), "{}/{}", "−")


def to_latex(law: Polynomial, symbols: Sequence[str]) -> str:
    r"""Return a law as LaTeX: `B\,\left(76{,}848\,H\,W + 2{,}048{,}000\right)`."""
    names = [_atom_latex(atom, symbols) for atom in law.atoms]

    def factor(index: int, power: int) -> str:
        return names[index] + (f"^{{{power}}}" if power > 1 else "")

    def number(value: int) -> str:
        return units.exact(value).replace(",", "{,}")

    return _written(law, factor, number, r"\,", (r"\left(", r"\right)"), r"\frac{{{}}}{{{}}}", "-")


def to_sympy(law: Polynomial, symbols: Sequence[str]) -> Any:
    """Return a law as a SymPy expression in positive integer symbols, with exact rationals."""
    sympy = import_module("sympy")
    variables = [sympy.Symbol(name, integer=True, positive=True) for name in symbols]
    values = [
        variables[atom.axis] if atom.step == 1 and not atom.shift
        else sympy.floor((variables[atom.axis] + atom.shift) / sympy.Integer(atom.step))
        for atom in law.atoms
    ]  # fmt: skip
    terms = []
    for powers, coefficient in law.terms:
        term = sympy.Rational(coefficient.numerator, coefficient.denominator)
        for value, power in zip(values, powers, strict=True):
            term *= value**power
        terms.append(term)
    return sympy.Add(*terms)


def term_text(powers: Powers, atoms: Sequence[Atom], symbols: Sequence[str]) -> str:
    """Return a product of powers: `B·H·W`, or `1` for the constant term."""
    return to_text(Polynomial(tuple(atoms), ((powers, Fraction(1)),)), symbols)


def _atom_text(atom: Atom, symbols: Sequence[str]) -> str:
    name, shift, step = symbols[atom.axis], atom.shift, atom.step
    if step == 1:
        return name if not shift else f"({name} {'+' if shift > 0 else '−'} {abs(shift)})"
    if shift == step - 1:
        return f"⌈{name}/{step}⌉"
    return f"⌊{name}/{step}⌋" if not shift else f"⌊({name} {'+' if shift > 0 else '−'} {abs(shift)})/{step}⌋"


def _atom_latex(atom: Atom, symbols: Sequence[str]) -> str:
    name, shift, step = symbol_latex(symbols[atom.axis]), atom.shift, atom.step
    inner = f"{name} {'+' if shift > 0 else '-'} {abs(shift)}" if shift else name
    if step == 1:
        return inner if not shift else rf"\left({inner}\right)"
    if shift == step - 1:
        return rf"\left\lceil\frac{{{name}}}{{{step}}}\right\rceil"
    return rf"\left\lfloor\frac{{{inner}}}{{{step}}}\right\rfloor"


def symbol_latex(name: str) -> str:
    """Return a symbol in LaTeX. Names of several letters are upright."""
    if len(name) == 1:
        return name
    return rf"\mathrm{{{name.replace('_', chr(92) + '_')}}}"  # chr(92): a backslash, a syntax error in Python 3.11


def _written(
    law: Polynomial, factor: Any, number: Any, times: str, brackets: tuple[str, str], fraction: str, minus: str
) -> str:
    """Return the sum of the terms in some notation, with common powers factored out.

    Args:
        law: the polynomial.
        factor: writes a power of an atom, from the atom's index and the power.
        number: writes a positive int.
        times: the multiplication sign.
        brackets: opening and closing bracket.
        fraction: format of a fraction, from numerator and denominator.
        minus: the minus sign.
    """
    if not law.terms:
        return "0"
    common = tuple(min(powers[i] for powers, _ in law.terms) for i in range(len(law.atoms)))
    if len(law.terms) == 1:
        common = (0,) * len(law.atoms)
    parts = []
    for powers, coefficient in law.terms:
        remaining = tuple(p - c for p, c in zip(powers, common, strict=True))
        factors = [factor(i, power) for i, power in enumerate(remaining) if power]
        size = abs(coefficient)
        if size != 1 or not factors:
            numerator, denominator = number(size.numerator), number(size.denominator)
            factors.insert(0, numerator if size.denominator == 1 else fraction.format(numerator, denominator))
        parts.append((minus if coefficient < 0 else "+", times.join(factors)))
    sign, first = parts[0]
    text = (minus if sign == minus else "") + first + "".join(f" {sign} {part}" for sign, part in parts[1:])
    common_factors = [factor(i, power) for i, power in enumerate(common) if power]
    if not common_factors:
        return text
    return times.join([*common_factors, f"{brackets[0]}{text}{brackets[1]}" if len(parts) > 1 else text])
