"""Detects inputs without a batch axis: torch's convolutions accept C×H×W as well as N×C×H×W."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from cnncost.graph import Graph, OpSpec

_MAX_NODES = 64
"""Maximum number of nodes in which to search for the first convolution; later convolutions take computed tensors."""

_NOTE = "has no batch axis, and was taken as one example"

_BEFORE = frozenset({"pointwise", "layout"})
"""Kinds of ops that, before the first convolution, don't change the meaning of the axes."""


def without_batch_axis(graph: Graph) -> Graph:
    """Return the Graph, with a note and `examples=1` if a convolution took the first input as C×H×W.

    Ops before the convolution may be elementwise (as in normalizing an image), casts, pads, views with the same number
    of axes, or one new leading axis.
    """
    if not graph.inputs or graph.examples is not None:
        return graph
    first = graph.inputs[0]
    shape = graph.values[first].shape
    has_new_axis = {first: False}  # values with the input's axes: whether these follow a new batch axis
    for node in islice(graph.nodes, _MAX_NODES):
        if not node.outputs or not node.inputs or node.inputs[0] not in has_new_axis:
            continue  # an op without outputs, such as a DLPack export, changes no axes
        batched, result = has_new_axis[node.inputs[0]], node.spec.outputs[0].shape
        operand = node.spec.inputs[0].shape
        if node.spec.kind in _BEFORE and len(result) == len(operand):
            has_new_axis.update(dict.fromkeys(node.outputs, batched))
        elif node.spec.kind in _BEFORE and not batched and result == (1, *operand):
            # torch's convolution adds this leading axis
            has_new_axis[node.outputs[0]] = True
        elif node.spec.kind == "conv" and len(shape) == _spatial_axes(node.spec) + 1:
            text = "x".join(map(str, shape))
            note = f"the input {text} {_NOTE}; a batch of one is 1x{text}"
            return replace(graph, examples=1, notes=(*graph.notes, note))
    return graph


def lacks_batch_axis(graph: Graph) -> bool:
    """Return True if `without_batch_axis` found that the input has no batch axis."""
    return any(_NOTE in note for note in graph.notes)


def _spatial_axes(spec: OpSpec) -> int:
    """Return the number of spatial axes: the weight's axes after C_out and C_in."""
    return len(spec.inputs[1].shape) - 2
