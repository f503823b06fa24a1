"""Functions of complex numbers, computed on pairs of counting real numbers (see `counting`).

Each is its definition in real arithmetic and elementary functions of real numbers (Abramowitz & Stegun 1964,
sections 3.7 and 4.2 to 4.6), as computed by hand; a sign absorbed by a sum or difference is not an operation. The
cost is the tally of a computation whose result is right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.oracles.counting import Number, Tally


class Z(NamedTuple):
    """re + im·i."""

    re: Number
    im: Number


def add(z: Z, w: Z) -> Z:
    return Z(z.re + w.re, z.im + w.im)


def sub(z: Z, w: Z) -> Z:
    return Z(z.re - w.re, z.im - w.im)


def neg(z: Z) -> Z:
    return Z(-z.re, -z.im)


def mul(z: Z, w: Z) -> Z:
    return Z(z.re * w.re - z.im * w.im, z.re * w.im + z.im * w.re)


def by_conjugate(z: Z, w: Z) -> Z:
    """z·w̄."""
    return Z(z.re * w.re + z.im * w.im, z.im * w.re - z.re * w.im)


def by_rest(z: Z, w: Z) -> Z:
    """z·(1 − w)."""
    rest = 1 - w.re
    return Z(z.re * rest + z.im * w.im, z.im * rest - z.re * w.im)


def scaled(z: Z, by: Number | float) -> Z:
    return Z(z.re * by, z.im * by)


def more(z: Z, by: Number | float) -> Z:
    """z + a for a real a."""
    return Z(z.re + by, z.im)


def squared(z: Z) -> Number:
    """|z|²."""
    return z.re * z.re + z.im * z.im


def absolute(z: Z) -> Number:
    return squared(z).function("sqrt")


def divide(z: Z, w: Z) -> Z:
    length = squared(w)
    top = by_conjugate(z, w)
    return Z(top.re / length, top.im / length)


def reciprocal(z: Z) -> Z:
    length = squared(z)
    return Z(z.re / length, -z.im / length)


def angle(z: Z) -> Number:
    return z.im.function("atan2", z.re)


def turned(z: Z) -> Z:
    """i·z."""
    return Z(-z.im, z.re)


def polar(r: Number, phi: Number) -> Z:
    return Z(r * phi.function("cos"), r * phi.function("sin"))


def exp(z: Z) -> Z:
    return polar(z.re.function("exp"), z.im)


def log(z: Z) -> Z:
    return Z(absolute(z).function("log"), angle(z))


def sqrt(z: Z) -> Z:
    """p + b/(2p)·i with p = √((|z| + a)/2); not for numbers on the negative real axis."""
    p = ((absolute(z) + z.re) / 2).function("sqrt")
    return Z(p, z.im / (p * 2))


def power(z: Z, w: Z) -> Z:
    return exp(mul(w, log(z)))


def logaddexp(z: Z, w: Z) -> Z:
    """m + log(exp(z − m) + exp(w − m)), m the larger real part."""
    m = z.re.max(w.re)
    return more(log(add(exp(Z(z.re - m, z.im)), exp(Z(w.re - m, w.im)))), m)


def sin(z: Z) -> Z:
    a, b = z
    return Z(a.function("sin") * b.function("cosh"), a.function("cos") * b.function("sinh"))


def cos(z: Z) -> Z:
    a, b = z
    return Z(a.function("cos") * b.function("cosh"), -(a.function("sin") * b.function("sinh")))


def sinh(z: Z) -> Z:
    a, b = z
    return Z(a.function("sinh") * b.function("cos"), a.function("cosh") * b.function("sin"))


def cosh(z: Z) -> Z:
    a, b = z
    return Z(a.function("cosh") * b.function("cos"), a.function("sinh") * b.function("sin"))


def tan(z: Z) -> Z:
    return divide(sin(z), cos(z))


def tanh(z: Z) -> Z:
    return divide(sinh(z), cosh(z))


def sinc(z: Z) -> Z:
    x = scaled(z, math.pi)
    return divide(sin(x), x)


def asin(z: Z) -> Z:
    """−i·log(iz + √(1 − z²))."""
    square = mul(z, z)
    root = sqrt(Z(1 - square.re, -square.im))
    found = log(add(turned(z), root))
    return Z(found.im, -found.re)


def acos(z: Z) -> Z:
    """π/2 − asin z."""
    found = asin(z)
    return Z(math.pi / 2 - found.re, -found.im)


def atan(z: Z) -> Z:
    """i/2·(log(1 − iz) − log(1 + iz))."""
    x = turned(z)
    found = sub(log(Z(1 - x.re, -x.im)), log(more(x, 1)))
    return Z(found.im * -0.5, found.re * 0.5)


def asinh(z: Z) -> Z:
    """log(z + √(z² + 1))."""
    return log(add(z, sqrt(more(mul(z, z), 1))))


def acosh(z: Z) -> Z:
    """log(z + √(z + 1)·√(z − 1))."""
    return log(add(z, mul(sqrt(more(z, 1)), sqrt(more(z, -1)))))


def atanh(z: Z) -> Z:
    """½·(log(1 + z) − log(1 − z))."""
    return scaled(sub(log(more(z, 1)), log(Z(1 - z.re, -z.im))), 0.5)


def sigmoid(z: Z) -> Z:
    return reciprocal(more(exp(neg(z)), 1))


def softsign(z: Z) -> Z:
    length = absolute(z) + 1
    return Z(z.re / length, z.im / length)


def sgn(z: Z) -> Z:
    length = absolute(z)
    return Z(z.re / length, z.im / length)


def either(z: Z, ask: Callable[[float], bool]) -> bool:
    """Whether `ask` holds for one of the parts; each test is one comparison."""
    return any([z.re._is(ask(z.re.value)), z.im._is(ask(z.im.value))])


def same(z: Z, w: Z) -> bool:
    return all([z.re._is(z.re.value == w.re.value), z.im._is(z.im.value == w.im.value)])


def finite_number(x: Number) -> bool:
    """x = x, and |x| is not ∞."""
    size = abs(x)
    return all([x._is(x.value == x.value), size._is(size.value != math.inf)])


def finite(z: Z) -> bool:
    return all([finite_number(z.re), finite_number(z.im)])


def close(z: Z, w: Z, rtol: float = 1e-5, atol: float = 1e-8) -> bool:
    """z = w, or |z − w| ≤ atol + |rtol·w| with a finite left side."""
    allowed = absolute(scaled(w, rtol)) + atol
    distance = absolute(sub(z, w))
    return any([same(z, w), all([finite_number(distance), distance <= allowed])])


def number_for_nan(x: Number) -> Number:
    """0 for NaN, the largest number for ∞, the smallest for −∞: three comparisons."""
    for bad, good in ((math.isnan, 0.0), (lambda v: v == math.inf, 3.4e38), (lambda v: v == -math.inf, -3.4e38)):
        if x._is(bad(x.value)):
            x = Number(good, x.tally)
    return x


def fold(values: Sequence[Z], function: Callable[[Z, Z], Z]) -> Z:
    """Fold from the left: function(function(first, second), third), and so on."""
    found, *rest = values
    for value in rest:
        found = function(found, value)
    return found


def add_up(values: Sequence[Number]) -> Number:
    found, *rest = values
    for value in rest:
        found = found + value
    return found


def mean(values: Sequence[Z]) -> Z:
    total = fold(values, add)
    return Z(total.re / len(values), total.im / len(values))


def nansum(values: Sequence[Z]) -> Z:
    zero = Number(0.0, values[0].re.tally)
    return fold([Z(zero, zero) if either(z, math.isnan) else z for z in values], add)


def variance(values: Sequence[Z]) -> Number:
    """Variance of the real parts plus that of the imaginary parts."""
    parts = []
    for part in zip(*values, strict=True):
        centre = add_up(part) / len(part)
        away = [x - centre for x in part]
        parts.append(add_up([x * x for x in away]) / (len(part) - 1))
    return parts[0] + parts[1]


def norm(values: Sequence[Z]) -> Number:
    return add_up([squared(z) for z in values]).function("sqrt")


def logsumexp(values: Sequence[Z]) -> Z:
    """m + log Σ exp(z − m), m the largest real part."""
    first, *rest = values
    m = first.re
    for z in rest:
        m = m.max(z.re)
    return more(log(fold([exp(Z(z.re - m, z.im)) for z in values], add)), m)


def numbers(tally: Tally, *values: complex) -> list[Z]:
    return [Z(tally.number(value.real), tally.number(value.imag)) for value in values]
