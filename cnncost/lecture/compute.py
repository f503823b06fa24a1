"""Computes the exact figure that a Measure describes, by analyzing or running real networks."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

from cnncost.analysis import analyze
from cnncost.errors import CnncostError
from cnncost.lecture import claims
from cnncost.lecture.arithmetic import evaluate
from cnncost.lecture.printed import Number, parse
from cnncost.lecture.quantities import TRAINING, value_of
from cnncost.lecture.values import Measured, Value, text
from cnncost.report.model import Report
from cnncost.shapes import parse_inputs

__all__ = ["clear_caches", "measure", "report_of"]


def measure(what: claims.Measure) -> Measured:
    """Return the exact figure that a measure describes.

    Raises:
        CnncostError: a network or layer does not exist or lacks the quantity, or arithmetic has operands that are not
            numbers (such as two sizes) or a divisor of 0.
    """
    match what:
        case claims.ModelFigure():
            return Measured(_model_figure(what))
        case claims.Sum(parts):
            return Measured(_plain(sum(_number(part) for part in parts)))
        case claims.Difference(more, less):
            return Measured(_plain(_number(more) - _number(less)))
        case claims.Below(less, more):
            return Measured(_number(less) < _number(more))
        case claims.Share(part, whole):
            return Measured(100 * _quotient(part, whole), "%")
        case claims.Ratio(more, less):
            return Measured(_plain(_quotient(more, less)))
        case claims.Scaled(scaled, factor, _, unit):
            return Measured(_plain(_number(scaled) * factor), unit)
        case claims.Formula(written):
            return Measured(evaluate(written))
        case claims.Law(of, vary):
            from cnncost.lecture.laws import formula

            return Measured(formula(of, vary))
        case claims.Experiment():
            return _result(what)
        case claims.Published(printed):
            return _published(printed)


@cache
def _report(
    network: str, options: tuple[tuple[str, claims.Option], ...], inputs: tuple[str, ...], training: bool,
    optimizer: str,
) -> Report:  # fmt: skip
    return analyze(
        network, parse_inputs(inputs) if inputs else None, model_args=dict(options), training=training,
        optimizer=optimizer or None,
    )  # fmt: skip


def report_of(network: claims.ModelFigure) -> Report:
    """Return the report on a forward pass of a measure's network."""
    return _report(network.network, network.options, network.inputs, False, "")


@cache
def _model_figure(what: claims.ModelFigure) -> Value:
    training = what.quantity in TRAINING
    report = _report(what.network, what.options, what.inputs, training, what.optimizer)
    return value_of(report, what.quantity, what.layer)


def clear_caches() -> None:
    """Clear the caches, because in another working directory a name may stand for another file."""
    from cnncost.lecture.laws import network_laws

    for cached in (_report, _model_figure, network_laws):
        cached.cache_clear()


@cache
def _result(what: claims.Experiment) -> Measured:
    from cnncost.lecture.experiments import run  # imports torch

    return run(what.name, *what.arguments)


def _number(what: claims.Measure) -> Fraction:
    value = measure(what).value
    if isinstance(value, bool) or not isinstance(value, int | Fraction):
        raise CnncostError(f"expected a number for arithmetic, got {text(Measured(value))}")
    return Fraction(value)


def _quotient(part: claims.Measure, whole: claims.Measure) -> Fraction:
    divisor = _number(whole)
    if not divisor:
        raise CnncostError("expected a divisor other than zero")
    return _number(part) / divisor


def _plain(number: Fraction | int) -> int | Fraction:
    """Return the number as an int if it is whole, else unchanged."""
    return int(number) if Fraction(number).denominator == 1 else number


def _published(printed: str) -> Measured:
    """Return a published figure: the number, size or words that `parse` finds in the text."""
    figure = parse(printed)
    return Measured(figure.value, figure.unit) if isinstance(figure, Number) else Measured(figure)
