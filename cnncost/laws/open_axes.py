"""Gives sizes to the open axes of an ONNX file; only these may vary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cnncost.laws.axes import OpenAxes
from cnncost.laws.variables import VariableRequest
from cnncost.sources.sizes import Axis, leaves

if TYPE_CHECKING:
    from cnncost.sources.resolve import Resolved

_BEGIN = 64
"""Initial size of an open axis for which none is given; a batch begins at 1."""


def with_open_axes(resolved: Resolved, requests: Sequence[VariableRequest]) -> tuple[Resolved, OpenAxes]:
    """Return an ONNX file with a shape for each of its inputs, and its open axes.

    An axis that varies and has no size yet begins at the first requested one, else at 1 for a batch and 64 for others.

    Raises:
        InputError: an axis has no size and does not vary, or it varies and the file fixes it.
    """
    file: Any = resolved
    names = {Axis((name,), axis): known for (name, axis), known in file.open_axes().items()}
    anywhere = OpenAxes(leaves(file.sized(dict.fromkeys(names.values(), _BEGIN)).inputs), names)
    begin = {}
    for each in requests:
        first = each.values[0] if each.values else each.low
        for part in each.parts:
            for name in {names[axis] for axis in anywhere.of(part)} - {""}:
                begin[name] = first if first is not None else 1 if name.lower().startswith("batch") else _BEGIN
    sized = file.sized(begin)
    return sized, OpenAxes(leaves(sized.inputs), names)
