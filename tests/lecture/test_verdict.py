from fractions import Fraction

import pytest

from cnncost.lecture.printed import parse
from cnncost.lecture.values import Measured
from cnncost.lecture.verdict import Judgement, Verdict, judge

EXACT, ROUNDED, DIFFERS = Verdict.EXACT, Verdict.ROUNDED, Verdict.DIFFERS


@pytest.mark.parametrize(
    ("printed", "exact", "verdict", "distance"),
    [
        pytest.param("30k", 30_000, EXACT, "", id="equal, though shortened"),
        pytest.param("156", 156, EXACT, "", id="equal"),
        pytest.param("86k", 86_400, ROUNDED, "to the nearest", id="to the nearest, below"),
        pytest.param("88k", 87_600, ROUNDED, "to the nearest", id="to the nearest, above"),
        pytest.param("78k", 78_500, ROUNDED, "to the nearest", id="exactly a half, down"),
        pytest.param("79k", 78_500, ROUNDED, "to the nearest", id="exactly a half, up"),
        pytest.param("79k", 78_499, DIFFERS, "1 % too high", id="more than a half, up"),
        pytest.param("1k", 1_010, ROUNDED, "to the nearest", id="one digit, to the nearest"),
        pytest.param("117k", 117_600, ROUNDED, "cut off after three digits", id="cut off"),
        pytest.param("117k", 117_999, ROUNDED, "cut off after three digits", id="cut off, as low as can be"),
        pytest.param("117k", 118_000, DIFFERS, "1 % too low", id="a whole unit too low"),
        pytest.param("118k", 117_400, DIFFERS, "1 % too high", id="nothing is cut off upwards"),
        pytest.param("230k", 235_200, ROUNDED, "cut off after two digits", id="cut off after two digits"),
        pytest.param("400k", 470_400, DIFFERS, "cut off after one digit, 15 % too low", id="one digit cut off"),
        pytest.param("500k", 470_400, ROUNDED, "to the nearest", id="one digit, to the nearest"),
        pytest.param("62.3 M", 62_378_344, ROUNDED, "cut off after three digits", id="decimals cut off"),
        pytest.param("60", 156, DIFFERS, "96 too low", id="a small number differs by so much"),
        pytest.param("10", 12, DIFFERS, "2 too low", id="ten is not about ten"),
        pytest.param("160k", 118_866, DIFFERS, "35 % too high", id="a large number differs by a share"),
        pytest.param("4700", 4_704, ROUNDED, "to the nearest", id="4700 is not 4,700 to the unit"),
        pytest.param("3", 0, DIFFERS, "3 too high", id="of nothing"),
    ],
)
def test_numbers(printed, exact, verdict, distance):
    assert judge(parse(printed), Measured(exact)) == Judgement(verdict, distance)


@pytest.mark.parametrize(
    ("printed", "exact", "expected"),
    [
        pytest.param("88%", Measured(Fraction(235_200 * 100, 266_200), "%"), ROUNDED, id="percents"),
        pytest.param("6.7%", Measured(Fraction(357, 100), "%"), DIFFERS, id="percents that differ"),
        pytest.param("88", Measured(Fraction(88), "%"), DIFFERS, id="a number is no percent"),
        pytest.param("88%", Measured(88), DIFFERS, id="a percent is no number"),
        pytest.param("28x28", Measured((28, 28)), EXACT, id="sizes"),
        pytest.param("28x28", Measured((24, 24)), DIFFERS, id="sizes that differ"),
        pytest.param("28", Measured((28, 28)), DIFFERS, id="a number is no size"),
        pytest.param("ReLU", Measured("relu"), EXACT, id="words, whatever their case"),
        pytest.param("m", Measured("n"), DIFFERS, id="words that differ"),
        pytest.param("anything 7", Measured(True), EXACT, id="a statement that holds"),
        pytest.param("anything 7", Measured(False), DIFFERS, id="a statement that does not"),
        pytest.param("60k images", None, Verdict.STATED, id="nothing to compare with"),
    ],
)
def test_other_figures(printed, exact, expected):
    assert judge(parse(printed), exact).verdict is expected


def test_points_of_percents():
    assert judge(parse("6.7%"), Measured(Fraction(357, 100), "%")).distance == "3.13 points too high"
