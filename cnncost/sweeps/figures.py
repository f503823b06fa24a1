"""The figures that a sweep's rows may have: how each is read from a Report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cnncost.errors import CnncostError, InputError
from cnncost.near import suggestion
from cnncost.render.values import Kind, along
from cnncost.report.model import Report


class Figure(NamedTuple):
    """A figure.

    Attributes:
        heading: for people.
        meaning: in a phrase.
        kind: what its values are.
        of: its value in a Report; None where it has none.
        training: whether it is of a training step.
    """

    heading: str
    meaning: str
    kind: Kind
    of: Callable[[Report], Any]
    training: bool = False


def _total(name: str) -> Callable[[Report], Any]:
    return lambda report: getattr(report.totals, name)


def _bytes(name: str) -> Callable[[Report], Any]:
    return lambda report: getattr(report.memory.figures, name)


def _field(report: Report) -> str | None:
    """`427`, `global`, or `7×3`; None where the output has no axis in space, or the field is not known."""
    try:
        sizes = report.receptive_field("").size
    except CnncostError:
        return None
    return along(tuple(str(size) for size in sizes)) or None


FIGURES: dict[str, Figure] = {
    "params": Figure("params", "parameters, each counted once", "count", _total("params")),
    "trainable_params": Figure(
        "trainable", "parameters that training changes", "count", _total("trainable_params")
    ),
    "buffers": Figure("buffers", "elements of buffers", "count", _total("buffers")),
    "macs": Figure("MACs", "multiply-accumulates of forward", "count", _total("macs")),
    "flops": Figure("FLOPs", "floating-point operations of forward", "count", _total("flops")),
    "bytes_read": Figure("read", "bytes, if each op reads its inputs once", "bytes", _total("bytes_read")),
    "bytes_written": Figure("written", "bytes, if each op writes its outputs once", "bytes", _total("bytes_written")),
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
        "activations", "bytes of activations that backward needs", "bytes", _bytes("activations"), training=True
    ),
    "training_peak": Figure(
        "peak, step", "bytes alive at the peak of a training step", "bytes", _bytes("training_peak"), training=True
    ),
    "accuracy": Figure(
        "accuracy", "top-1 in percent, as the model's package states it for these weights and this input", "figure",
        lambda _: None,  # of the name, not of the Report
    ),
}  # fmt: skip
"""By name, in the order of columns."""
USUAL = ("params", "macs", "flops", "weight_bytes", "inference_peak")
"""The columns of a sweep that names none."""
LOWER = {"macs", "flops", "bytes_read", "bytes_written"}
"""Figures that ops without a rule are missing from."""


def chosen(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of columns, in their order; `all` is all of them, and none are the usual ones.

    Raises:
        InputError: a name that is no figure.
    """
    if not names:
        return USUAL
    if "all" in names:
        return tuple(FIGURES)
    for name in names:
        if name not in FIGURES:
            near = suggestion(name, FIGURES) or f"; expected of {', '.join(FIGURES)}, or all"
            raise InputError(f"sweep: no column {name!r}{near}")
    return tuple(name for name in FIGURES if name in names)
