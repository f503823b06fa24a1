"""Inputs without a batch axis: torch's convolutions accept C×H×W as well as N×C×H×W."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from cnncost.graph import Graph, OpSpec

_MAX_NODES = 64
"""Maximum number of nodes to search for the first convolution on an input; later ones take computed tensors."""

_NOTE = "has no batch axis, and was taken as one example"

_BEFORE = frozenset({"pointwise", "layout"})
"""Kinds of ops before the first convolution that don't change the meaning of the axes."""


def without_batch_axis(graph: Graph) -> Graph:
    """Return the Graph; if a convolution took the first input as C×H×W, with a note and `examples=1`.

    Ops before it may be elementwise (as in normalizing an image), casts, views with as many axes, pads, or a new axis
    before the others.
    """
    if not graph.inputs or graph.examples is not None:
        return graph
    first = graph.inputs[0]
    shape = graph.values[first].shape
    has_new_axis = {first: False}  # values with the axes of the input: whether a new batch axis precedes these
    for node in islice(graph.nodes, _MAX_NODES):
        if not node.outputs or not node.inputs or node.inputs[0] not in has_new_axis:
            continue  # an op without outputs, such as the export of a tensor by DLPack, changes no axes
        batched, result = has_new_axis[node.inputs[0]], node.spec.outputs[0].shape
        operand = node.spec.inputs[0].shape
        if node.spec.kind in _BEFORE and len(result) == len(operand):
            has_new_axis.update(dict.fromkeys(node.outputs, batched))
        elif node.spec.kind in _BEFORE and not batched and result == (1, *operand):
            # torch's convolution adds this axis
            has_new_axis[node.outputs[0]] = True
        elif node.spec.kind == "conv" and len(shape) == _spatial_axes(node.spec) + 1:
            text = "x".join(map(str, shape))
            note = f"the input {text} {_NOTE}; a batch of one is 1x{text}"
            return replace(graph, examples=1, notes=(*graph.notes, note))
    return graph


def lacks_batch_axis(graph: Graph) -> bool:
    """True if `without_batch_axis` found that the input has none."""
    return any(_NOTE in note for note in graph.notes)


def _spatial_axes(spec: OpSpec) -> int:
    """Return the number of spatial axes: those of the weight after C_out and C_in."""
    return len(spec.inputs[1].shape) - 2
