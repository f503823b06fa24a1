"""Periodic patterns (laws) reduced to their shortest period, and parts of an axis under windows, by hand."""

from __future__ import annotations

import pytest

from cnncost.passes.receptive_field.axes import Part, _mixed, _windowed
from cnncost.passes.receptive_field.field import Atom, Field, Law
from cnncost.passes.receptive_field.steps import _least

IMAGE, TWO = Atom(12, 12, None, True), Atom(2, 2)


def one(*places):
    """Cells that see one position each."""
    return [(i, i) for i in places]


LEAST = {
    # the atoms before and after the image atom, the law, and the law with its shortest period
    "each position": ((), (), Law(4, 4, one(0, 1, 2, 3)), Law(1, 1, one(0))),
    "windows of two": ((), (), Law(3, 3, [(0, 1), (1, 2), (2, 3)]), Law(1, 1, [(0, 1)])),
    "two by two": ((), (), Law(4, 4, one(0, 0, 2, 2)), Law(2, 2, one(0, 0))),
    "a stride": ((), (), Law(3, 6, one(0, 2, 4)), Law(1, 2, one(0))),
    "backwards": ((), (), Law(3, -3, one(9, 8, 7)), Law(1, -1, one(9))),
    "nothing, again and again": ((), (), Law(4, 8, [(0, 3), None, (4, 7), None]), Law(2, 4, [(0, 3), None])),
    "three of six": ((), (), Law(6, 6, one(0, 0, 2, 3, 3, 5)), Law(3, 3, one(0, 0, 2))),
    "the last is another": ((), (), Law(4, 4, one(0, 1, 2, 0)), None),
    "the first is another": ((), (), Law(4, 4, one(3, 1, 2, 3)), None),
    "a shift that can't be halved": ((), (), Law(2, 3, one(0, 1)), None),
    "a period of one": ((), (), Law(1, 1, one(0)), None),
    "two channels within": ((), (TWO,), Law(2, 2, one(0, 5, 1, 6)), Law(1, 1, one(0, 5))),
    "two channels within, one of them another": ((), (TWO,), Law(2, 2, one(0, 5, 1, 5)), None),
    "two channels around": ((TWO,), (), Law(2, 2, one(0, 1, 7, 8)), Law(1, 1, one(0, 7))),
    "two channels around, one of them another": ((TWO,), (), Law(2, 2, one(0, 1, 7, 7)), None),
    "around and within": ((TWO,), (TWO,), Law(2, 2, one(0, 5, 1, 6, 7, 3, 8, 4)), Law(1, 1, one(0, 5, 7, 3))),
    "around and within, one of them another": ((TWO,), (TWO,), Law(2, 2, one(0, 5, 1, 6, 7, 3, 8, 3)), None),
}


@pytest.mark.parametrize(("before", "after", "law", "least"), LEAST.values(), ids=LEAST)
def test_the_shortest_period(before, after, law, least):
    atoms = (*before, IMAGE, *after)
    assert _least(Field(atoms, (len(atoms),), [], law), law) == (least or law)


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
