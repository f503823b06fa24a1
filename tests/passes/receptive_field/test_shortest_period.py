"""Periodic patterns reduced to their shortest period, and parts of an axis under windows, by hand."""

from __future__ import annotations

import pytest

from cnncost.passes.receptive_field.axes import Part, _mixed, _windowed
from cnncost.passes.receptive_field.field import AxisFactor, Field, PeriodicPattern
from cnncost.passes.receptive_field.steps import _shortest_period

GROWING, TWO = AxisFactor(12, 12, None, True), AxisFactor(2, 2)


def one(*places):
    """Cells that see one position each."""
    return [(i, i) for i in places]


LEAST = {
    # the factors before and after the growing factor, the pattern, and the pattern with its shortest period
    "each position": ((), (), PeriodicPattern(4, 4, one(0, 1, 2, 3)), PeriodicPattern(1, 1, one(0))),
    "windows of two": ((), (), PeriodicPattern(3, 3, [(0, 1), (1, 2), (2, 3)]), PeriodicPattern(1, 1, [(0, 1)])),
    "two by two": ((), (), PeriodicPattern(4, 4, one(0, 0, 2, 2)), PeriodicPattern(2, 2, one(0, 0))),
    "a stride": ((), (), PeriodicPattern(3, 6, one(0, 2, 4)), PeriodicPattern(1, 2, one(0))),
    "backwards": ((), (), PeriodicPattern(3, -3, one(9, 8, 7)), PeriodicPattern(1, -1, one(9))),
    "nothing, again and again": (
        (),
        (),
        PeriodicPattern(4, 8, [(0, 3), None, (4, 7), None]),
        PeriodicPattern(2, 4, [(0, 3), None]),
    ),
    "three of six": ((), (), PeriodicPattern(6, 6, one(0, 0, 2, 3, 3, 5)), PeriodicPattern(3, 3, one(0, 0, 2))),
    "the last is another": ((), (), PeriodicPattern(4, 4, one(0, 1, 2, 0)), None),
    "the first is another": ((), (), PeriodicPattern(4, 4, one(3, 1, 2, 3)), None),
    "a shift that can't be halved": ((), (), PeriodicPattern(2, 3, one(0, 1)), None),
    "a period of one": ((), (), PeriodicPattern(1, 1, one(0)), None),
    "two channels within": ((), (TWO,), PeriodicPattern(2, 2, one(0, 5, 1, 6)), PeriodicPattern(1, 1, one(0, 5))),
    "two channels within, one of them another": ((), (TWO,), PeriodicPattern(2, 2, one(0, 5, 1, 5)), None),
    "two channels around": ((TWO,), (), PeriodicPattern(2, 2, one(0, 1, 7, 8)), PeriodicPattern(1, 1, one(0, 7))),
    "two channels around, one of them another": ((TWO,), (), PeriodicPattern(2, 2, one(0, 1, 7, 7)), None),
    "around and within": (
        (TWO,),
        (TWO,),
        PeriodicPattern(2, 2, one(0, 5, 1, 6, 7, 3, 8, 4)),
        PeriodicPattern(1, 1, one(0, 5, 7, 3)),
    ),
    "around and within, one of them another": (
        (TWO,),
        (TWO,),
        PeriodicPattern(2, 2, one(0, 5, 1, 6, 7, 3, 8, 3)),
        None,
    ),
}


@pytest.mark.parametrize(("before", "after", "periodic", "shortest"), LEAST.values(), ids=LEAST)
def test_the_shortest_period(before, after, periodic, shortest):
    factors = (*before, GROWING, *after)
    assert _shortest_period(Field(factors, (len(factors),), [], periodic), periodic) == (shortest or periodic)


AXES = {
    # the parts of an axis, the number of windows along it, and the parts after
    "as many windows": ((Part(4, (1,)),), 4, (Part(4, (1,)),)),
    "fewer windows": ((Part(4, (1,)),), 2, (Part(2, (1,)),)),
    "features": ((Part(4),), 2, (Part(2),)),
    "features and an axis": ((Part(3), Part(4, (1,))), 2, (Part(2, (1,)),)),
    "an axis of one position before another": ((Part(1, (1,)), Part(4, (2,))), 2, (Part(2, (2,)),)),
    "an axis of one position behind another": ((Part(4, (2,)), Part(1, (1,))), 2, (Part(2, (2,)),)),
    "axes of one position alone": ((Part(1, (1,)), Part(1, (2,))), 2, (Part(2, (1,), within=(2,)),)),
    "an axis within another": ((Part(3, (1,)), Part(4, (2,))), 2, (Part(2, (1,), within=(2,)),)),
}


@pytest.mark.parametrize(("parts", "size", "expected"), AXES.values(), ids=AXES)
def test_windows_along_the_parts_of_an_axis(parts, size, expected):
    assert _windowed(parts, size) == expected


MIXED = {
    # the parts of an axis whose positions all see all of it, the number of positions, and the parts after
    "as many": ((Part(4, (1,)),), 4, (Part(4, (1,)),)),
    "one axis": ((Part(4, (1,)),), 2, (Part(2, (1,)),)),
    "an inner part": ((Part(4, (1,), outer=False),), 2, (Part(2, (1,), outer=False),)),
    "an axis of one position before another": ((Part(1, (1,)), Part(4, (2,))), 2, (Part(2, (2,)),)),
    "axes of one position alone": ((Part(1, (1,)), Part(1, (2,))), 2, (Part(2),)),
    "two axes": ((Part(3, (1,)), Part(4, (2,))), 2, (Part(2),)),
    "an axis and features": ((Part(3, (1,)), Part(4)), 2, (Part(2),)),
    "an axis and features, to one": ((Part(3, (1,)), Part(4)), 1, (Part(1, (1,)),)),
}


@pytest.mark.parametrize(("parts", "size", "expected"), MIXED.values(), ids=MIXED)
def test_positions_that_see_all_of_an_axis(parts, size, expected):
    assert _mixed(parts, size) == expected
