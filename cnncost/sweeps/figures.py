"""The figures that a sweep may have as columns, and how each is read from a Report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cnncost.errors import CnncostError, InputError
from cnncost.near import suggestion
from cnncost.render.values import Kind, along, plain
from cnncost.report.columns import ALWAYS, with_own_figures
from cnncost.report.model import Report


class Figure(NamedTuple):
    """A figure.

    Attributes:
        heading: displayed heading.
        meaning: description.
        kind: kind of the values, which determines their format.
        read: reads the value from a Report; returns None if there is none.
        training: whether the figure needs a training step.
    """

    heading: str
    meaning: str
    kind: Kind
    read: Callable[[Report], Any]
    training: bool = False


def _total(name: str) -> Callable[[Report], Any]:
    """Return the function that reads this figure of `Totals` from a Report."""
    return lambda report: plain(getattr(report.totals, name))  # plain data, because the journal is JSON


def _bytes(name: str) -> Callable[[Report], Any]:
    """Return the function that reads this memory figure from a Report."""
    return lambda report: getattr(report.memory.figures, name)


def _field(report: Report) -> str | None:
    """Return, for example, `427`, `global` or `7×3`; None if the output has no receptive field."""
    try:
        sizes = report.receptive_field("").size
    except CnncostError:
        return None
    return along(tuple(str(size) for size in sizes)) or None


_MEANINGS = {"macs": "multiply-accumulates of forward", "flops": "floating-point operations of forward"}
"""Meanings that say "of forward", because a sweep may also have these figures of a training step."""
_COLUMNS = {  # the figures that are shown in every table of a report
    each.name: Figure(each.heading, _MEANINGS.get(each.name, each.meaning), each.look, _total(each.name))
    for each in ALWAYS
}
_OWN = {  # figures that are columns only in sweeps
    "ops": Figure("ops", "ops that forward runs", "count", _total("ops")),
    "weight_bytes": Figure(
        "weights", "bytes of parameters and buffers", "bytes",
        lambda report: report.totals.param_bytes + report.totals.buffer_bytes,
    ),
    "inference_peak": Figure(
        "peak", "bytes alive at the peak of a forward without autograd", "bytes", _bytes("inference_peak")
    ),
    "receptive_field": Figure("field", "input positions that an output position sees along each axis", "text", _field),
    "training_macs": Figure(
        "MACs, step", "multiply-accumulates of a training step", "count", _total("training_macs"), training=True
    ),
    "training_flops": Figure(
        "FLOPs, step", "floating-point operations of a training step", "count", _total("training_flops"), training=True
    ),
    "activations": Figure(
        "activations", "bytes allocated in forward that outlive it in a training step", "bytes", _bytes("activations"),
        training=True,
    ),
    "training_peak": Figure(
        "peak, step", "bytes alive at the peak of a training step", "bytes", _bytes("training_peak"), training=True
    ),
    "accuracy": Figure(
        "accuracy", "top-1 in percent, published by the model's package for these weights and this input", "figure",
        lambda _: None,  # depends on the model's name, not on the Report
    ),
}  # fmt: skip
FIGURES: dict[str, Figure] = with_own_figures("sweep", _COLUMNS, _OWN)
"""All figures by name, in the order of the columns."""
USUAL = ("params", "macs", "flops", "weight_bytes", "inference_peak")
"""Default columns."""
LOWER = {each.name for each in ALWAYS if each.bounded}
"""Names of the figures that are lower bounds if ops without a rule are missing."""
LOOSE = {each.name: each.heading for each in ALWAYS if each.loose}
"""Headings, by name, of the figures that are then neither a lower nor an upper bound, and therefore omitted."""


def chosen(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the requested columns in the order of `FIGURES`; `all` selects all, and no names the default columns.

    Raises:
        InputError: a name is not that of a figure.
    """
    if not names:
        return USUAL
    if "all" in names:
        return tuple(FIGURES)
    for name in names:
        if name not in FIGURES:
            near = suggestion(name, FIGURES) or f"; expected one of {', '.join(FIGURES)}, or all"
            raise InputError(f"sweep: no column {name!r}{near}")
    return tuple(name for name in FIGURES if name in names)
