"""Samples of long sweeps: the suite runs some of their rows, and continuous integration runs all in a later step."""

import os
from itertools import product

import pytest

WHOLE = bool(os.environ.get("CNNCOST_WHOLE_SWEEPS"))
"""True if all rows of all sweeps are to run. The variable may name a file of tests to leave out (`conftest.py`)."""

whole_only = pytest.mark.skipif(not WHOLE, reason="long; it runs with all rows of the sweeps")
"""Runs a test only with all rows of the sweeps."""


def sample(rows, size):
    """Return `size` of the rows, at equal distances from the first one on; all of them if WHOLE."""
    rows = list(rows)
    return rows if WHOLE or size >= len(rows) else [rows[i * len(rows) // size] for i in range(size)]


def pairs(first, second):
    """Return all pairs of the values of two lists; in the suite, as few as have each value at least once."""
    first, second = list(first), list(second)
    if WHOLE:
        return [*product(first, second)]
    return [(first[i % len(first)], second[i % len(second)]) for i in range(max(len(first), len(second)))]


def examples(number):
    """Return the number of random examples of a slow property: a quarter of `number` in the suite."""
    return number if WHOLE else number // 4
