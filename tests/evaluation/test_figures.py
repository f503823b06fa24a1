"""Rank correlation against scipy, errors against arithmetic."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from cnncost.evaluation.figures import error, median_error, spearman

NUMBERS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=12)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other programs may be busy
@given(NUMBERS)
def test_spearman_is_scipys_with_ties_too(pairs):
    x, y = zip(*pairs, strict=True)
    found = spearman(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(x, y).statistic)


@pytest.mark.parametrize(
    ("predicted", "measured", "expected"),
    [
        pytest.param([1, 2, 3], [10, 20, 30], 1.0, id="the same order"),
        pytest.param([1, 2, 3], [3, 2, 1], -1.0, id="the reverse"),
        pytest.param([1, 2, 3, 4], [1, 2, 4, 3], 0.8, id="one pair exchanged: 1 − 6·2/(4·15)"),
        pytest.param([1, 2], [1, 2], None, id="two networks say nothing"),
    ],
)
def test_spearman(predicted, measured, expected):
    assert spearman(predicted, measured) == (None if expected is None else pytest.approx(expected))


def test_spearman_of_unequal_lists():
    with pytest.raises(ValueError, match="expected pairs, got 3 and 2"):
        spearman([1, 2, 3], [1, 2])


def test_errors():
    assert error(8.0, 10.0) == pytest.approx(-0.2)
    assert median_error([(8.0, 10.0), (11.0, 10.0), (15.0, 10.0)]) == pytest.approx(0.2)
    assert median_error([]) is None
