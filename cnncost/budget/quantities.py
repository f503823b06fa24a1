"""Quantities that a budget can limit: how each is read from a Report and formatted.

A module's value includes its descendants. `receptive_field`, the peaks and `activations` read parts that a Report may
lack; the error then says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from math import inf
from typing import Any, Literal, NamedTuple, TypeAlias

from cnncost import units
from cnncost.errors import CnncostError
from cnncost.report.columns import ALWAYS, with_own_figures
from cnncost.report.model import Report
from cnncost.report.rows import Module
from cnncost.report.schema import Look, absent_columns
from cnncost.reprs import line

Value: TypeAlias = "int | Fraction | float"
"""An exact number; the only float is `inf`, for a receptive field that is the whole input."""
Unit: TypeAlias = Literal["count", "bytes", "pixels", "ratio"]
Direction: TypeAlias = Literal["<=", ">="]
"""The side on which a limit bounds a quantity: `<=` bounds the largest of several values, `>=` the smallest."""


class Quantity(NamedTuple):
    """A quantity that a budget can limit.

    Attributes:
        name: key in budget files.
        heading: displayed name.
        meaning: short description, which can follow "is" or "are".
        unit: what its values count; it determines the units that a limit may use.
        read: returns the value for one of a Report's module rows; if there are several, the one that the direction
            bounds.
        usual: the comparison of a limit that states none; None: a limit has to state one.
        bounded: whether an op without a rule makes it incomplete.
        grows: whether such an op could only add to it, so that the incomplete figure is a lower bound.
        modules: whether it can be limited on modules.
        training: whether it requires a training step.
        temporaries: whether ops with unknown temporaries make it a lower bound.
    """

    name: str
    heading: str
    meaning: str
    unit: Unit
    read: Callable[[Report, Module, Direction], Value]
    usual: Direction | None = "<="
    bounded: bool = False
    modules: bool = True
    training: bool = False
    grows: bool = True
    temporaries: bool = False

    def __repr__(self) -> str:
        return line(self, f"{self.name}: {self.meaning}")


def _column(name: str, report: Report, module: Module, _: Direction) -> Value:
    """Read a column of the table of modules."""
    value = None if name in absent_columns(module) else getattr(module, name)
    if value is None:
        raise CnncostError(f"{name} of {module.path or report.model!r}: the report has no such figure")
    return value if isinstance(value, int) else Fraction(value)


def _intensity(_report: Report, module: Module, _: Direction) -> Value:
    """Return the FLOPs per byte read or written; 0 if there are no bytes."""
    nbytes = module.bytes_read + module.bytes_written
    return Fraction(module.flops, nbytes) if nbytes else 0


def _unknown_ops(report: Report, _module: Module, _: Direction) -> Value:
    """Return how many executed ops have no rule."""
    return sum(report.unknown.values())


def _receptive_field(report: Report, module: Module, direction: Direction) -> Value:
    """Return the size of the receptive field in pixels, along the axis that decides the limit; `inf` if not an int."""
    sizes = _part(report, "receptive_field")(module.path).size
    axes = [size if isinstance(size, int) else inf for size in sizes]
    if not axes:
        raise CnncostError(f"receptive_field of {module.path or report.model!r}: its output has no spatial axis")
    return min(axes) if direction == ">=" else max(axes)


def _bytes(name: str, report: Report, _module: Module, _: Direction) -> Value:
    """Read a figure in bytes, by name, from the Report's memory."""
    value = getattr(_part(report, "memory").figures, name, None)
    if value is None:
        raise CnncostError(f"{name}: the report of {report.model} has no such figure")
    return int(value)


def _part(report: Report, name: str) -> Any:
    """Read an optional part of the Report."""
    part = getattr(report, name, None)
    if part is None:
        raise CnncostError(f"{name}: the report of {report.model} has none; remove the limit from the budget")
    return part


_UNITS: Mapping[Look, Unit] = {"count": "count", "bytes": "bytes", "ratio": "ratio"}
_OF_MODULES = tuple([
    Quantity(
        each.name, each.heading, each.meaning, unit, partial(_column, each.name),
        usual=None if unit == "ratio" else "<=", bounded=each.partial, grows=not each.loose,
    )
    for each in ALWAYS
    if (unit := _UNITS.get(each.look)) is not None
])  # fmt: skip
"""The columns of the table of modules."""
_NO_COLUMNS = (
    Quantity(
        "activations", "activations", "bytes of activations that backward needs", "bytes",
        partial(_bytes, "activations"), modules=False, training=True,
    ),
    Quantity(
        "inference_peak", "inference peak", "bytes alive at the peak of inference", "bytes",
        partial(_bytes, "inference_peak"), bounded=True, modules=False, temporaries=True,
    ),
    Quantity(
        "training_peak", "training peak", "bytes alive at the peak of a training step", "bytes",
        partial(_bytes, "training_peak"), bounded=True, modules=False, training=True, temporaries=True,
    ),
    Quantity(
        "receptive_field", "receptive field", "pixels along an axis that one output depends on", "pixels",
        _receptive_field, usual=None,
    ),
    Quantity("unknown_ops", "unknown ops", "ops without a rule", "count", _unknown_ops, modules=False),
    Quantity(
        "arithmetic_intensity", "FLOPs per byte", "FLOPs for each byte read or written", "ratio", _intensity,
        usual=None, bounded=True, grows=False,
    ),
)  # fmt: skip
QUANTITIES: dict[str, Quantity] = with_own_figures(
    "check", {each.name: each for each in _OF_MODULES}, {each.name: each for each in _NO_COLUMNS}
)
"""All quantities by name, in the order of reports."""


def show(value: Value, unit: Unit) -> str:
    """Return a value with three significant digits, or pixels as a whole number: `4.09 G`, `64.0 MiB`, `12.5`."""
    if value == inf:
        return "global"
    if unit == "ratio":
        return f"{float(value):.3g}"
    whole = round(value)
    if unit == "pixels":
        return str(whole)
    return units.data(whole) if unit == "bytes" else units.compact(whole)


def show_exact(value: Value, unit: Unit) -> str:
    """Return a value to the last digit: `4,089,184,256`; ratios have six significant digits, fractions one decimal."""
    if value == inf:
        return "global"
    if unit == "ratio":
        return f"{float(value):.6g}"
    text = units.exact(int(value)) if value == int(value) else f"{float(value):,.1f}"
    return f"{text} B" if unit == "bytes" else text
