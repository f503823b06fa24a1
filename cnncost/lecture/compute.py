"""Compute a figure from its description, by analysing or running real networks."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

from cnncost.analysis import analyze
from cnncost.errors import CnncostError
from cnncost.lecture.arithmetic import evaluate
from cnncost.lecture.claims import (
    Below,
    Difference,
    Experiment,
    Formula,
    Law,
    Measure,
    Of,
    Option,
    Published,
    Ratio,
    Scaled,
    Share,
    Sum,
)
from cnncost.lecture.printed import Number, parse
from cnncost.lecture.quantities import TRAINING, value_of
from cnncost.lecture.values import Measured, Value, text
from cnncost.report.model import Report
from cnncost.shapes import parse_inputs

__all__ = ["forget", "measure", "report_of"]


def measure(what: Measure) -> Measured:
    """The exact figure that a measure describes.

    Raises:
        CnncostError: a network or layer does not exist, or has no such quantity; arithmetic on values that aren't
            numbers, such as the sum of two sizes.
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
            return Measured(100 * _quotient(part, whole), "%")
        case Ratio(more, less):
            return Measured(_plain(_quotient(more, less)))
        case Scaled(scaled, factor, _, unit):
            return Measured(_plain(_number(scaled) * factor), unit)
        case Formula(written):
            return Measured(evaluate(written))
        case Law(of, vary):
            from cnncost.lecture.laws import formula

            return Measured(formula(of, vary))
        case Experiment():
            return _tried(what)
        case Published(printed):
            return _published(printed)


@cache
def _report(
    network: str, options: tuple[tuple[str, Option], ...], inputs: tuple[str, ...], training: bool, optimizer: str
) -> Report:
    return analyze(
        network, parse_inputs(inputs) if inputs else None, model_args=dict(options), training=training,
        optimizer=optimizer or None,
    )  # fmt: skip


def report_of(network: Of) -> Report:
    """The forward pass of the network that a quantity is of."""
    return _report(network.network, network.options, network.inputs, False, "")


@cache
def _of(what: Of) -> Value:
    training = what.quantity in TRAINING
    report = _report(what.network, what.options, what.inputs, training, what.optimizer)
    return value_of(report, what.quantity, what.layer)


def forget() -> None:
    """Drop what was measured: names may stand for other files in another folder."""
    from cnncost.lecture.laws import found

    for kept in (_report, _of, found):
        kept.cache_clear()


@cache
def _tried(what: Experiment) -> Measured:
    from cnncost.lecture.experiments import run  # imports torch

    return run(what.name, *what.arguments)


def _number(what: Measure) -> Fraction:
    value = measure(what).value
    if isinstance(value, bool) or not isinstance(value, int | Fraction):
        raise CnncostError(f"expected a number to calculate with, got {text(Measured(value))}")
    return Fraction(value)


def _quotient(part: Measure, whole: Measure) -> Fraction:
    divisor = _number(whole)
    if not divisor:
        raise CnncostError("expected something other than zero to divide by")
    return _number(part) / divisor


def _plain(number: Fraction | int) -> int | Fraction:
    """An int if the number is whole."""
    return int(number) if Fraction(number).denominator == 1 else number


def _published(printed: str) -> Measured:
    figure = parse(printed)
    return Measured(figure.value, figure.unit) if isinstance(figure, Number) else Measured(figure)
