"""Gives sizes to the open axes of an ONNX file, the only axes that may vary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cnncost.laws.axes import OpenAxes
from cnncost.laws.variables import VariableRequest
from cnncost.sources.sizes import Axis, leaves

if TYPE_CHECKING:
    from cnncost.sources.resolve import Resolved

_INITIAL = 64
"""Initial size of an open axis for which none is given, except a batch, which begins at 1."""


def with_open_axes(resolved: Resolved, requests: Sequence[VariableRequest]) -> tuple[Resolved, OpenAxes]:
    """Return an ONNX file with a shape for each of its inputs, and its open axes.

    A varying axis without a size begins at the first requested size, or without one at 1 for a batch, 64 for others.

    Raises:
        InputError: an axis has no size and does not vary, or it varies and the file fixes its size.
    """
    file: Any = resolved  # a ResolvedFile (sources/onnx.py), which has the methods for open axes
    names = {Axis((input_name,), axis): name for (input_name, axis), name in file.open_axes().items()}
    # the axes that a request names don't depend on their sizes
    at_any_size = OpenAxes(leaves(file.sized(dict.fromkeys(names.values(), _INITIAL)).inputs), names)
    initial = {}
    for request in requests:
        first = request.values[0] if request.values else request.low
        for part in request.parts:
            for name in {names[axis] for axis in at_any_size.of(part)} - {""}:
                initial[name] = first if first is not None else 1 if name.lower().startswith("batch") else _INITIAL
    sized = file.sized(initial)
    return sized, OpenAxes(leaves(sized.inputs), names)
