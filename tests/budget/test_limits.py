"""Limits as people write them."""

from fractions import Fraction
from math import inf

import pytest

from cnncost.budget.limits import parse_limit
from cnncost.budget.quantities import QUANTITIES
from cnncost.errors import CnncostError


def parsed(value, quantity="macs"):
    return parse_limit(value, QUANTITIES[quantity])


@pytest.mark.parametrize(
    ("quantity", "written", "comparison", "bound"),
    [
        ("macs", "<= 4.1G", "<=", 4_100_000_000),
        ("macs", "4.1 G", "<=", 4_100_000_000),
        ("macs", 4_100_000_000, "<=", 4_100_000_000),
        ("macs", 4.1e9, "<=", 4_100_000_000),
        ("macs", "<4.1e9", "<", 4_100_000_000),
        ("macs", "≤ 25_600k", "<=", 25_600_000),
        ("params", "== 61706", "==", 61_706),
        ("params", ">= 2.5K", ">=", 2_500),
        ("flops", "1T", "<=", 10**12),
        ("inference_peak", "64MiB", "<=", 64 * 2**20),
        ("inference_peak", "<= 64 MB", "<=", 64_000_000),
        ("training_peak", "1.5GiB", "<=", 3 * 2**29),
        ("activations", "0 B", "<=", 0),
        ("receptive_field", ">= 200", ">=", 200),
        ("receptive_field", "> 31px", ">", 31),
        ("arithmetic_intensity", ">= 2.5", ">=", Fraction(5, 2)),
        ("unknown_ops", 0, "<=", 0),
    ],
)
def test_an_absolute_limit(quantity, written, comparison, bound):
    limit = parsed(written, quantity)

    assert (limit.comparison, limit.bound(None), limit.relative) == (comparison, bound, False)


@pytest.mark.parametrize(
    ("quantity", "written", "baseline", "bound"),
    [
        ("params", "+1%", 1234, Fraction(124634, 100)),
        ("params", "+0", 1234, 1234),
        ("params", "+0%", 1234, 1234),
        ("params", "+1.5k", 1234, 2734),
        ("params", "-10%", 1000, 900),
        ("params", "−10%", 1000, 900),
        ("params", "<= +10 %", 1000, 1100),
        ("macs", ">= -5%", 1000, 950),
        ("inference_peak", "+1MiB", 2**20, 2**21),
        ("receptive_field", ">= +0", inf, inf),
        ("arithmetic_intensity", ">= -50%", Fraction(1, 3), Fraction(1, 6)),
        ("params", "+3%", 0, 0),
    ],
)
def test_a_limit_against_a_baseline(quantity, written, baseline, bound):
    limit = parsed(written, quantity)

    assert limit.relative
    assert limit.bound(baseline) == bound


@pytest.mark.parametrize(
    ("quantity", "written", "told"),
    [
        ("macs", "4.1GiB", "GiB is a unit of bytes"),
        ("macs", "4.1 GMACs", "unknown unit 'GMACs'; expected one of: k, K, M, G, T"),
        ("macs", "1%", 'write it with a sign, such as "+1%"'),
        ("macs", "<= 1%", 'write it with a sign, such as "+1%"'),
        ("macs", "about 4G", "expected a limit such as"),
        ("macs", "", "expected a limit such as"),
        ("macs", "<= ", "expected a limit such as"),
        ("macs", "=< 4G", "expected a limit such as"),
        ("macs", "4G <=", "expected a limit such as"),
        ("macs", "1.2.3", "expected a limit such as"),
        ("macs", "nan", "expected a limit such as"),
        ("macs", float("nan"), "expected a limit such as"),
        ("macs", float("inf"), "expected a limit such as"),
        ("macs", -1, "0 or more"),
        ("macs", "-101%", "expected -100 % or more, as no figure is below 0"),
        ("macs", True, "got true or false"),
        ("macs", ["4G"], "got a list"),
        ("macs", {"max": 4}, "got a table"),
        ("macs", None, "got NoneType"),
        ("inference_peak", "64M", "expected MiB (1024) or MB (1000)"),
        ("inference_peak", "64k", "expected KiB (1024) or kB (1000)"),
        ("receptive_field", "200", "has no direction"),
        ("receptive_field", 200, "has no direction"),
        ("arithmetic_intensity", ">= 2G", "expected one of: none"),
        ("unknown_ops", "+1", "the baseline does not store it"),
    ],
)
def test_what_is_no_limit(quantity, written, told):
    with pytest.raises(CnncostError, match="^" + quantity) as raised:
        parsed(written, quantity)

    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("written", "value", "holds"),
    [
        ("<= 10", 10, True), ("<= 10", 11, False), ("< 10", 10, False), ("< 10", 9, True),
        (">= 10", 10, True), (">= 10", 9, False), ("> 10", 10, False), ("> 10", 11, True),
        ("== 10", 10, True), ("== 10", 9, False), ("== 10", 11, False),
    ],
)  # fmt: skip
def test_a_limit_holds_or_not(written, value, holds):
    assert parsed(written).holds(value, 10) is holds


def test_one_beyond_a_per_cent_is_over():
    """1 % more than 1234 is 1246.34."""
    limit = parsed("+1%")

    assert [limit.holds(value, limit.bound(1234)) for value in (1246, 1247)] == [True, False]


def test_a_float_loses_no_digit():
    """2⁵³ + 1 is no float."""
    limit = parsed(f"<= {2**53}")

    assert not limit.holds(2**53 + 1, limit.bound(None))


@pytest.mark.parametrize(
    ("written", "value", "bound", "left"),
    [
        ("<= 10", 9, 10, Fraction(1, 10)), ("<= 10", 15, 10, Fraction(-1, 2)), (">= 10", 15, 10, Fraction(1, 2)),
        ("<= 10", 1, 0, None), (">= 10", inf, 10, None),
    ],
)  # fmt: skip
def test_headroom(written, value, bound, left):
    assert parsed(written).headroom(value, bound) == left
