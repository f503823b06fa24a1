"""Accuracy of predictions: rank correlation and errors."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median


def spearman(predicted: Sequence[float], measured: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation; ties get their mean rank.

    None for fewer than three pairs, or if all values of a sequence are equal.

    Raises:
        ValueError: the sequences differ in length.
    """
    if len(predicted) != len(measured):
        raise ValueError(f"spearman: expected pairs, got {len(predicted)} and {len(measured)}")
    if len(predicted) < 3:
        return None
    x, y = _ranks(predicted), _ranks(measured)
    mean = fmean(x)
    covariance = sum((a - mean) * (b - mean) for a, b in zip(x, y, strict=True))
    variances = sum((a - mean) ** 2 for a in x) * sum((b - mean) ** 2 for b in y)
    return covariance / variances**0.5 if variances else None


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value, from 1; equal values share their mean rank."""
    order = sorted(values)
    last_ranks = {value: i for i, value in enumerate(order, 1)}  # for equal values, the rank of the last one
    counts = {value: order.count(value) for value in last_ranks}
    return [last_ranks[value] - (counts[value] - 1) / 2 for value in values]


def error(predicted: float, measured: float) -> float:
    """Return the relative error of a predicted time: -0.2 means that the prediction is 20 % too short."""
    return predicted / measured - 1


def median_error(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Return the median absolute relative error over pairs of (predicted, measured); None without pairs."""
    return median(abs(error(*pair)) for pair in pairs) if pairs else None
