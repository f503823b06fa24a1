import pytest

from cnncost.lecture.arithmetic import evaluate, is_formula


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("300·(28·28)", 235_200, id="dots"),
        pytest.param("16 * (5x5 +1) * 6", 2_496, id="stars and x, as the slides write it"),
        pytest.param("6 * (5x5 +1) x1", 156, id="x right before a number"),
        pytest.param("28 + 2·1 − 3 + 1", 28, id="a minus sign"),
        pytest.param("28²", 784, id="a square"),
        pytest.param("2^3·3", 24, id="a power binds tighter"),
        pytest.param("100×(6×14×14)", 117_600, id="crosses"),
        pytest.param("7", 7, id="a number alone"),
    ],
)
def test_values_of_formulas(text, value):
    assert evaluate(text) == value


@pytest.mark.parametrize("text", ["", "2496*", "6·(5", "m·(1+n)", "1.5·2", "__import__('os')", "3/2", "()"])
def test_invalid_formulas_are_refused(text):
    with pytest.raises(ValueError, match="formula"):
        evaluate(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6 * (5x5 +1)", True),
        ("28²", True),
        ("300 + 100", True),
        ("28x28", False),
        ("2496*", False),
        ("230k", False),
        ("C=10", False),
        ("", False),
    ],
)
def test_a_size_or_a_figure_is_not_a_formula(text, expected):
    assert is_formula(text) is expected
