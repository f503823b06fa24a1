"""Walk the Graph node by node and compute the input positions that every value sees, for each input axis."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from math import prod
from typing import NamedTuple, TypeAlias

from cnncost.graph import Graph, Node, Shape
from cnncost.masks import Mask
from cnncost.ops.reach import All, DataDependentIndex, Output, Permute, Reshape, Route, Spread, Step, Window, reach_of
from cnncost.ops.reach.mixing import attention
from cnncost.passes.receptive_field.axes import Key
from cnncost.passes.receptive_field.cells import hull_of
from cnncost.passes.receptive_field.field import GLOBAL, AxisFactor, Field, source
from cnncost.passes.receptive_field.join import concatenated, joined
from cnncost.passes.receptive_field.steps import permute, reduced, reshape, spread, windowed


class Lost(NamedTuple):
    """An op that could not be followed, and the path of the module in which it ran."""

    op: str
    path: str


_NAMES = {"after_write": "a write into a part of a tensor, through a view of it,"}
"""How to name, in notes, nodes that are not ops of the framework."""
Seen: TypeAlias = "dict[Key, Field | Lost]"
"""A value's field by input axis, `Lost` after an op that could not be followed."""


class Walk:
    """One walk. `seen` has each value's fields; `fed` are the values that depend on any input of the model."""

    def __init__(self, graph: Graph, keys: Iterable[Key], fed: Container[int]) -> None:
        self.graph = graph
        self.fed = fed
        self.seen: dict[int, Seen] = {}
        self._masks = dict(graph.masks)
        for number, axis in keys:
            value = graph.inputs[number]
            self.seen.setdefault(value, {})[number, axis] = source(graph.values[value].shape, axis)

    def run(self) -> None:
        """Visit all nodes of the forward pass."""
        for index, node in enumerate(self.graph.nodes):
            if node.phase == "forward" and any(self.seen.get(value) for value in node.inputs):
                self._node(node, self._masks.get(index))

    def _node(self, node: Node, mask: Mask | None) -> None:
        keys = sorted({key for value in node.inputs for key in self.seen.get(value, ())})
        if not any(prod(output.shape) for output in node.spec.outputs):
            return
        reach = reach_of(node.spec)
        if mask is not None and node.spec.kind == "attention" and not any(v in self.fed for v in node.inputs[3:]):
            reach = attention(node.spec, mask)  # a mask that depends on inputs would differ in other runs
        for index, value in enumerate(node.outputs):
            output = reach[index] if reach is not None and index < len(reach) else None
            if output is not None and any(node.inputs[i] in self.fed for i in output.constants):
                output = None  # the rule holds only if these inputs don't depend on the model's
            shape = node.spec.outputs[index].shape
            fields = {key: self._output(node, output, shape, key) for key in keys} if prod(shape) else {}
            self.seen[value] = {key: field for key, field in fields.items() if field is not None}

    def _output(self, node: Node, output: Output | None, shape: Shape, key: Key) -> Field | Lost | None:
        """Return the field of an output for one input axis; None if it sees nothing."""
        inputs = [self.seen.get(value, {}).get(key) for value in node.inputs]
        if output is None or (output.routes and _unrouted(inputs, output)):
            return self._lost(node, shape, [field for field in inputs if field is not None])
        pieces = [
            None if (field := inputs[route.input]) is None else self._along(field, route, node)
            for route in output.routes
        ]
        present = [piece for piece in pieces if piece is not None]
        fields = [piece for piece in present if isinstance(piece, Field)]
        if len(fields) < len(present):
            return self._lost(node, shape, present)
        if not fields or len(pieces) == 1:
            return fields[0] if fields else None
        if output.joined is not None:
            parts = [piece for piece in pieces if not isinstance(piece, Lost)]  # drops none; for mypy
            return concatenated(parts, output.sizes, output.joined)
        return joined(fields)

    def _lost(self, node: Node, shape: Shape, pieces: Sequence[Field | Lost]) -> Field | Lost:
        """Return the field of an output that can't be followed: `Lost`, unless an input sees the whole image."""
        for piece in pieces:
            if isinstance(piece, Field) and piece.full:
                return Field(tuple(map(AxisFactor, shape)), (1,) * len(shape), [hull_of(piece.exact)], GLOBAL)
        reasons = (piece for piece in pieces if isinstance(piece, Lost))
        return next(reasons, self._lost_at(node))

    def _lost_at(self, node: Node) -> Lost:
        return Lost(_NAMES.get(node.name, node.name), self.graph.call_path(node.call))

    def _along(self, field: Field | Lost, route: Route, node: Node) -> Field | Lost:
        """Return the field after a route."""
        for step in route.steps:
            if isinstance(field, Lost):
                return field
            stepped = _stepped(field, step)
            field = self._lost_at(node) if stepped is None else stepped
        return field


def _unrouted(inputs: Sequence[Field | Lost | None], output: Output) -> bool:
    """True if an input that sees something has no route: the rule doesn't cover it."""
    routed = {route.input for route in output.routes} | set(output.ignored)
    return any(field is not None and i not in routed for i, field in enumerate(inputs))


def _stepped(field: Field, step: Step) -> Field | None:
    """Return the field after a step; None if it depends on tensor data."""
    match step:
        case Window():
            return windowed(field, step.axis, step)
        case All():
            return reduced(field, step.axis)
        case Spread():
            return spread(field, step.axis, step.size)
        case Reshape():
            return reshape(field, step.shape)
        case Permute():
            return permute(field, step.order)
        case DataDependentIndex():
            factors = field.factors[field.parts[step.axis]]
            if any(factor.classes > 1 or factor.grows for factor in factors):
                return None
            return spread(reduced(field, step.axis), step.axis, step.size)
