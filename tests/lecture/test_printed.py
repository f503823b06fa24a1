from fractions import Fraction

import pytest

from cnncost.lecture.printed import Number, parse


@pytest.mark.parametrize(
    ("text", "value", "step", "digits"),
    [
        pytest.param("230k", 230_000, 10_000, 2, id="zeros of a shortened number mean nothing"),
        pytest.param("400k", 400_000, 100_000, 1, id="one digit"),
        pytest.param("~260k", 260_000, 10_000, 2, id="about"),
        pytest.param("117k", 117_000, 1_000, 3, id="three digits"),
        pytest.param("4700 features", 4_700, 100, 2, id="from 1,000 on, zeros mean nothing either"),
        pytest.param("2578 independent parameters", 2_578, 1, 4, id="printed in full"),
        pytest.param("10 U", 10, 1, 2, id="below 1,000 zeros are digits"),
        pytest.param("~80", 80, 10, 1, id="but not after a tilde"),
        pytest.param("2496*", 2_496, 1, 4, id="a footnote's star"),
        pytest.param("62.3 M parameters", 62_300_000, 100_000, 3, id="millions with a decimal"),
        pytest.param("133 million", 133_000_000, 1_000_000, 3, id="millions as a word"),
        pytest.param("1.8 x 10^9 FLOPs", 1_800_000_000, 100_000_000, 2, id="a power of ten"),
        pytest.param("60,000 trainable", 60_000, 10_000, 1, id="separators"),
        pytest.param("C=10", 10, 1, 2, id="after an equals sign"),
        pytest.param("6 * (5x5 +1) * (24*24*1)", 89_856, 1, 5, id="a formula is worth its value"),
        pytest.param("0", 0, 1, 1, id="nothing"),
        pytest.param("300 Meters", 300, 1, 3, id="a word that begins with a unit's letter"),
    ],
)
def test_numbers(text, value, step, digits):
    assert parse(text) == Number(Fraction(value), Fraction(step), digits)


def test_percentages_keep_their_decimals():
    assert parse("0.95 %") == Number(Fraction(95, 100), Fraction(1, 100), 2, "%")
    assert parse("12.0 %") == Number(Fraction(12), Fraction(1, 10), 3, "%")
    assert parse("88%") == Number(Fraction(88), Fraction(1), 2, "%")


def test_sizes():
    assert parse("28x28") == parse("28×28") == parse(" 28 x 28 ") == (28, 28)


@pytest.mark.parametrize("text", ["ReLU", "LeNet300", "LeNet-5", "Conv-10", "4 3 4 / 2 4 3 / 2 3 4", "m"])
def test_names_and_grids_are_words(text):
    assert parse(text) == text
