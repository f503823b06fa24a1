"""Measured and predicted quantities as text: three digits, and a unit in which they can be read."""

import pytest

from cnncost import units


@pytest.mark.parametrize(
    ("number", "unit", "expected"),
    [
        (0, "s", "0 s"),
        (3.19e-3, "s", "3.19 ms"),
        (61.34e-6, "s", "61.3 µs"),
        (999.6e-6, "s", "1.00 ms"),  # rounding comes first
        (999.4e-6, "s", "999 µs"),
        (5e-9, "s", "5.00 ns"),
        (2e-12, "s", "0.00 ns"),
        (989.4e12, "FLOP/s", "989 TFLOP/s"),
        (2.25e15, "FLOP/s", "2.25 PFLOP/s"),
        (68.25e9, "B/s", "68.2 GB/s"),
        (1.0, "s", "1.00 s"),
    ],
)
def test_si(number, unit, expected):
    assert units.si(number, unit) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0.166, "0.17"), (9.994, "9.99"), (9.996, "10.0"), (99.94, "99.9"), (99.96, "100"), (1234.5, "1,234")],
)
def test_ratio(number, expected):
    assert units.ratio(number) == expected


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(0.87, 1, "87 %"), (1, 40, "2.5 %"), (0, 5, "0 %"), (5, 0, "–"), (9.96, 100, "10 %"), (3, 2, "150 %")],
)
def test_percent(part, whole, expected):
    assert units.percent(part, whole) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.143, "143 ms"),
        (65, "65.0 s"),
        (180, "3.00 minutes"),
        (7200, "2.00 hours"),
        (86400, "1.00 days"),
        (180_600, "2.09 days"),
    ],
)
def test_duration(seconds, expected):
    assert units.duration(seconds) == expected
