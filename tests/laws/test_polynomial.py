"""Exact interpolation, against polynomials that are known; maxima, against trying all."""

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnncost.laws.polynomial import Atom, Nodes, Polynomial, degree_of, grid, interpolate, undominated
from cnncost.laws.writing import to_latex, to_sympy, to_text

POWERS = list(product(range(3), range(2)))
fractions = st.fractions(min_value=-(10**12), max_value=10**12, max_denominator=64)
coefficients = st.dictionaries(st.sampled_from(POWERS), st.integers(-(10**14), 10**14))
XY = [Atom(0), Atom(1)]


def value(terms, x, y):
    return sum(c * x**a * y**b for (a, b), c in terms.items())


@given(coefficients, st.integers(1, 500), st.integers(-64, 64).filter(bool), st.integers(1, 9), st.integers(1, 50))
def test_polynomials_are_found_again(terms, start, step, low, stride):
    axes = [Nodes(start, step, 2), Nodes(low, stride, 1)]
    found = interpolate(axes, [value(terms, *point) for point in grid(axes)])

    assert {p: c for p, c in found.items() if c} == {p: c for p, c in terms.items() if c}


@given(coefficients, st.integers(1, 99), st.integers(1, 99), st.integers(-500, 500), st.integers(-500, 500))
def test_about_an_origin(terms, x, y, at, beside):
    axes = [Nodes(x, 3, 2), Nodes(y, 5, 1)]
    found = interpolate(axes, [value(terms, *point) for point in grid(axes)], (at, beside))

    assert value(found, 17 - at, -4 - beside) == value(terms, 17, -4)


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=5), st.integers(1, 300), st.integers(1, 64))
def test_degrees_are_seen(terms, start, step):
    while len(terms) > 1 and not terms[-1]:
        terms.pop()
    rows = [[sum(c * (start + k * step) ** p for p, c in enumerate(terms)), 7] for k in range(7)]

    assert degree_of(rows) == (len(terms) - 1)


@pytest.mark.parametrize(
    ("rows", "degree"),
    [
        pytest.param([3, 3, 3], 0, id="constant"),
        pytest.param([3, 3], None, id="two equal ones show nothing"),
        pytest.param([1, 2, 3], None, id="three on a line leave one difference, which any three may"),
        pytest.param([1, 2, 3, 4], 1, id="four on a line"),
        pytest.param([1, 2, 3, 5], None, id="four that are not"),
        pytest.param([n // 2 for n in range(7)], None, id="a floor"),
        pytest.param([2**n for n in range(7)], None, id="no polynomial"),
    ],
)
def test_what_shows_a_degree(rows, degree):
    assert degree_of([[n] for n in rows]) == degree


@given(
    st.lists(st.tuples(*[st.integers(-50, 50)] * 6), min_size=1, max_size=12), st.integers(1, 40), st.integers(1, 4)
)  # fmt: skip
def test_the_maximum_is_that_of_all(many, low, beside):
    axes = [Nodes(low, 8, 2), Nodes(beside, 1, 1)]
    every = [dict(zip(POWERS, terms, strict=True)) for terms in many]
    kept = undominated([[value(terms, *p) for p in grid(axes)] for terms in every], axes, (low, beside))

    assert 1 <= len(kept) <= len(every)
    for point in product([low, low + 1, low + 7, low + 100, low + 10**6], [beside, beside + 3, beside + 10**6]):
        assert max(each.at(point) for each in kept) == max(value(terms, *point) for terms in every)


def test_lines_below_the_corner_of_two_others_are_left_out():
    axes = [Nodes(0, 1, 1)]
    kept = undominated([[0, 10], [40, 42], [15, 20]], axes, (0,))  # 10x, 40 + 2x, 15 + 5x

    assert sorted(to_text(each, "x") for each in kept) == ["10·x", "2·x + 40"]


@settings(deadline=None)  # sympy is imported by the first
@given(coefficients, st.integers(0, 7), st.integers(1, 8), st.integers(1, 10**6), st.integers(1, 99))
def test_sympy_says_the_same(terms, shift, step, x, y):
    law = Polynomial.of([Atom(0, shift, step), Atom(1)], {p: Fraction(c, 6) for p, c in terms.items()})
    names = {"H": x, "B": y}
    expression = to_sympy(law, ("H", "B"))
    found = expression.subs({symbol: names[symbol.name] for symbol in expression.free_symbols})

    assert Fraction(int(found.p), int(found.q)) == law.at((x, y)) == Fraction(value(terms, (x + shift) // step, y), 6)


@given(coefficients, coefficients, st.integers(-99, 99), st.integers(-99, 99))
def test_sums_over_different_atoms(first, second, x, y):
    half = [Atom(1, 1, 2), Atom(0)]
    total = Polynomial.of(XY, first).plus(Polynomial.of(half, second))

    assert total.at((x, y)) == value(first, x, y) + value(second, (y + 1) // 2, x)


@pytest.mark.parametrize(
    ("atoms", "terms", "text", "latex"),
    [
        pytest.param(XY, {}, "0", "0", id="nothing"),
        pytest.param(XY, {(0, 0): 25557032}, "25,557,032", "25{,}557{,}032", id="a constant"),
        pytest.param(XY, {(1, 1): 1}, "H·B", r"H\,B", id="one"),
        pytest.param(XY, {(1, 1): -1}, "−H·B", r"-H\,B", id="minus one"),
        pytest.param(
            XY, {(1, 1): 76848, (0, 1): 2048000}, "B·(76,848·H + 2,048,000)",
            r"B\,\left(76{,}848\,H + 2{,}048{,}000\right)", id="what all terms have",
        ),
        pytest.param(
            XY, {(2, 0): Fraction(7, 2), (1, 0): -3, (0, 0): 1}, "7/2·H² − 3·H + 1",
            r"\frac{7}{2}\,H^{2} - 3\,H + 1", id="fractions and squares",
        ),
        pytest.param(
            [Atom(0, 1, 2), Atom(1)], {(1, 1): 3}, "3·⌈H/2⌉·B", r"3\,\left\lceil\frac{H}{2}\right\rceil\,B",
            id="rounded up",
        ),
        pytest.param(
            [Atom(0, -11, 4)], {(1,): 3}, "3·⌊(H − 11)/4⌋", r"3\,\left\lfloor\frac{H - 11}{4}\right\rfloor",
            id="rounded down, with a shift",
        ),
        pytest.param([Atom(0, -4)], {(2,): 1}, "(H − 4)²", r"\left(H - 4\right)^{2}", id="a valid convolution's map"),
    ],
)  # fmt: skip
def test_how_laws_are_written(atoms, terms, text, latex):
    law = Polynomial.of(atoms, {p: Fraction(c) for p, c in terms.items()})

    assert to_text(law, ("H", "B")) == text
    assert to_latex(law, ("H", "B")) == latex
