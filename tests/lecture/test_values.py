from fractions import Fraction

import pytest

from cnncost.lecture.values import Measured, decimal, text


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (Measured(235_200), "235,200"),
        (Measured(Fraction(100), "%"), "100 %"),
        (Measured(Fraction(18_8, 2), "ms"), "94 ms"),
        (Measured(Fraction(1, 3), "%"), "0.33 %"),
        (Measured(Fraction(1, 4)), "0.25"),
        (Measured((28, 28)), "28×28"),
        (Measured("n"), "n"),
        (Measured(True), "holds"),
        (Measured(False), "does not hold"),
    ],
)
def test_formatted_values(measured, expected):
    assert text(measured) == expected


def test_a_statement_may_have_its_own_text():
    assert text(Measured(False), "higher") == "higher"
    assert text(Measured(3), "higher") == "3"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (Fraction(2, 3), "0.67"),
        (Fraction(5, 1000), "0.01"),  # rounds halves up
        (Fraction(1, 1000), "<0.01"),
        (Fraction(-5, 4), "-1.25"),
        (Fraction(12_345_678, 100), "123,456.78"),
    ],
)
def test_two_places(number, expected):
    assert decimal(number) == expected
