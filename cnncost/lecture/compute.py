"""Compute a figure from its description, by analysing or running real networks."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

from cnncost.analysis import analyze
from cnncost.lecture.arithmetic import evaluate
from cnncost.lecture.claims import (
    Below,
    Difference,
    Experiment,
    Formula,
    Measure,
    Of,
    Published,
    Scaled,
    Share,
    Sum,
)
from cnncost.lecture.printed import Number, parse
from cnncost.lecture.quantities import QUANTITIES
from cnncost.lecture.values import Measured, Value
from cnncost.report.model import Report

__all__ = ["measure"]


def measure(what: Measure) -> Measured:
    """The exact figure that a measure describes.

    Raises:
        TypeError: arithmetic on values that aren't numbers, such as the sum of two sizes.
        CnncostError: a network or layer does not exist.
    """
    match what:
        case Of():
            return Measured(_of(what))
        case Sum(parts):
            return Measured(_plain(sum(_number(part) for part in parts)))
        case Difference(more, less):
            return Measured(_plain(_number(more) - _number(less)))
        case Below(less, more):
            return Measured(_number(less) < _number(more))
        case Share(part, whole):
            return Measured(100 * _number(part) / _number(whole), "%")
        case Scaled(scaled, factor, _, unit):
            return Measured(_plain(_number(scaled) * factor), unit)
        case Formula(text):
            return Measured(evaluate(text))
        case Experiment():
            return _tried(what)
        case Published(text):
            return _published(text)


@cache
def _report(network: str, options: tuple[tuple[str, str | float], ...]) -> Report:
    return analyze(network, model_args=dict(options))


@cache
def _of(what: Of) -> Value:
    return QUANTITIES[what.quantity](_report(what.network, what.options), what.layer)


@cache
def _tried(what: Experiment) -> Measured:
    from cnncost.lecture.experiments import run  # imports torch

    return run(what.name, *what.arguments)


def _number(what: Measure) -> Fraction:
    value = measure(what).value
    if isinstance(value, bool) or not isinstance(value, int | Fraction):
        raise TypeError(f"measure: expected a number from {what}, got {value!r}")
    return Fraction(value)


def _plain(number: Fraction | int) -> int | Fraction:
    """An int if the number is whole."""
    return int(number) if Fraction(number).denominator == 1 else number


def _published(text: str) -> Measured:
    figure = parse(text)
    return Measured(figure.value, figure.unit) if isinstance(figure, Number) else Measured(figure)
