import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnncost.units import compact, counted, data, exact, shape, share

COMPACT = [
    pytest.param(0, "0", id="nothing"),
    pytest.param(999, "999", id="below a thousand all digits stand"),
    pytest.param(1000, "1.00 k", id="a thousand has a unit"),
    pytest.param(9_994, "9.99 k", id="two decimals below ten"),
    pytest.param(9_995, "10.0 k", id="rounding up to ten takes a decimal away"),
    pytest.param(99_949, "99.9 k", id="one decimal below a hundred"),
    pytest.param(99_950, "100 k", id="rounding up to a hundred takes the other away"),
    pytest.param(999_499, "999 k", id="the last of its unit"),
    pytest.param(999_500, "1.00 M", id="the first that rounds to a thousand has the next unit"),
    pytest.param(999_999, "1.00 M", id="a million less one is never 1000 k"),
    pytest.param(4_089_184_256, "4.09 G", id="billions"),
    pytest.param(999_499_999_999_999, "999 T", id="the last with three digits"),
    pytest.param(10**15, "1,000 T", id="no unit beyond tera"),
    pytest.param(-1_234, "-1.23 k", id="differences may be negative"),
    pytest.param(2**53 + 1, "9,007 T", id="what no float holds"),
]


@pytest.mark.parametrize(("number", "text"), COMPACT)
def test_compact(number, text):
    assert compact(number) == text


DATA = [
    pytest.param(0, "0 B", id="nothing"),
    pytest.param(1023, "1023 B", id="below a kibibyte all digits stand"),
    pytest.param(1024, "1.00 KiB", id="a kibibyte"),
    pytest.param(102_228_128, "97.5 MiB", id="ResNet-50"),
    pytest.param(1000 * 1024, "1000 KiB", id="four digits before the next unit"),
    pytest.param(1023 * 1024 + 511, "1023 KiB", id="the last of its unit"),
    pytest.param(1023 * 1024 + 512, "1.00 MiB", id="the first that rounds to 1024 has the next unit"),
    pytest.param(2**60, "1,048,576 TiB", id="no unit beyond tebi"),
]


@pytest.mark.parametrize(("nbytes", "text"), DATA)
def test_data(nbytes, text):
    assert data(nbytes) == text


SHARES = [
    pytest.param(83, 100, "83 %", id="whole per cents"),
    pytest.param(0, 5, "0 %", id="nothing of something"),
    pytest.param(1, 201, "<1 %", id="something is never 0 %"),
    pytest.param(1, 200, "1 %", id="a half rounds up"),
    pytest.param(999, 1000, ">99 %", id="a part is never 100 %"),
    pytest.param(5, 5, "100 %", id="all"),
    pytest.param(0, 0, "–", id="nothing of nothing"),
]


@pytest.mark.parametrize(("part", "whole", "text"), SHARES)
def test_share(part, whole, text):
    assert share(part, whole) == text


@pytest.mark.parametrize(
    ("extents", "text"),
    [
        pytest.param((1, 3, 224, 224), "1×3×224×224", id="axes with signs between"),
        pytest.param((7,), "7", id="one axis"),
        pytest.param((), "scalar", id="no axis"),
    ],
)
def test_shape(extents, text):
    assert shape(extents) == text


def test_exact_has_commas():
    assert exact(1234) == "1,234"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        pytest.param(1, "1 op", id="one"),
        pytest.param(0, "0 ops", id="none"),
        pytest.param(1000, "1,000 ops", id="many"),
    ],
)
def test_counted(number, text):
    assert counted(number, "op") == text


@given(st.integers(0, 10**15 - 5 * 10**11 - 1))
def test_compact_is_near_and_short(number):
    digits, _, unit = compact(number).partition(" ")
    factor = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}[unit]
    assert len(digits.replace(".", "")) == 3 or number < 1000
    assert abs(float(digits) * factor - number) <= 0.00501 * number


@given(st.integers(0, 2**50))
def test_data_is_near_and_short(nbytes):
    digits, unit = data(nbytes).split()
    factor = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}[unit]
    assert float(digits.replace(",", "")) < 1024 or unit == "TiB"
    assert abs(float(digits.replace(",", "")) * factor - nbytes) <= 0.00501 * nbytes
