"""Through the Graph, node by node: what every value sees of every axis of every input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import NamedTuple, TypeAlias

from cnncost.graph import Graph, Node, Shape
from cnncost.ops.reach import All, Output, Permute, Picked, Reshape, Route, Spread, Step, Window, reach_of
from cnncost.passes.receptive_field.cells import hull_of
from cnncost.passes.receptive_field.field import GLOBAL, Atom, Field, source
from cnncost.passes.receptive_field.join import concatenated, joined
from cnncost.passes.receptive_field.steps import permute, reduced, reshape, spread, windowed

Key: TypeAlias = "tuple[int, int]"
"""An input, by its place among the model's, and an axis of it."""


class Lost(NamedTuple):
    """What could not be followed: the op, and the path of the module in which it ran."""

    op: str
    path: str


_NAMES = {"after_write": "a write into a part of a tensor, through a view of it,"}
"""Of nodes that are no op of the framework."""
Seen: TypeAlias = "dict[Key, Field | Lost]"


class Walk:
    """One walk.

    Attributes:
        seen: what the values see.
        slid: the input axes that ops slide along; `inner` those that are an inner part of an axis that they slide
            along: W in a row of H·W tokens, but also channels that a pixel shuffle has put between pixels.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.seen: dict[int, Seen] = {}
        self.slid: set[Key] = set()
        self.inner: set[Key] = set()
        for number, value in enumerate(graph.inputs):
            shape = graph.values[value].shape
            if not prod(shape):
                continue
            axes = range(min(1, len(shape) - 1), len(shape))
            self.seen.setdefault(value, {}).update({(number, axis): source(shape, axis) for axis in axes})

    def run(self) -> None:
        """All nodes of the forward pass."""
        for node in self.graph.nodes:
            if node.phase == "forward" and any(self.seen.get(value) for value in node.inputs):
                self._node(node)

    def _node(self, node: Node) -> None:
        keys = sorted({key for value in node.inputs for key in self.seen.get(value, ())})
        reach = reach_of(node.spec)
        for index, value in enumerate(node.outputs):
            output = reach[index] if reach is not None and index < len(reach) else None
            shape = node.spec.outputs[index].shape
            found = {key: self._output(node, output, shape, key) for key in keys} if prod(shape) else {}
            self.seen[value] = {key: field for key, field in found.items() if field is not None}

    def _output(self, node: Node, output: Output | None, shape: Shape, key: Key) -> Field | Lost | None:
        """What an output sees of one input axis; None: nothing."""
        inputs = [self.seen.get(value, {}).get(key) for value in node.inputs]
        if output is None or (output.routes and _unrouted(inputs, output)):
            return self._lost(node, shape, [field for field in inputs if field is not None])
        pieces = [
            None if (field := inputs[route.input]) is None else self._along(field, route, key, node)
            for route in output.routes
        ]
        told = [piece for piece in pieces if piece is not None]
        fields = [piece for piece in told if isinstance(piece, Field)]
        if len(fields) < len(told):
            return self._lost(node, shape, told)
        if not fields or len(pieces) == 1:
            return fields[0] if fields else None
        if output.joined is not None:
            parts = [piece for piece in pieces if not isinstance(piece, Lost)]
            return concatenated(parts, output.sizes, output.joined)
        return joined(fields) if len(fields) > 1 else fields[0]

    def _lost(self, node: Node, shape: Shape, pieces: Sequence[Field | Lost]) -> Field | Lost:
        """Unknown, unless one that sees everything is among them: more than that is not to be seen."""
        for piece in pieces:
            if isinstance(piece, Field) and piece.full:
                return Field(tuple(map(Atom, shape)), (1,) * len(shape), [hull_of(piece.exact)], GLOBAL)
        told = (piece for piece in pieces if isinstance(piece, Lost))
        return next(told, self._lost_at(node))

    def _lost_at(self, node: Node) -> Lost:
        return Lost(_NAMES.get(node.name, node.name), self.graph.call_path(node.call))

    def _along(self, field: Field | Lost, route: Route, key: Key, node: Node) -> Field | Lost:
        for step in route.steps:
            if isinstance(field, Lost):
                return field
            if isinstance(step, (Window, All)) and step.slides and key not in self.slid:
                self._slide(field, step.axis, key)
            made = _stepped(field, step)
            field = self._lost_at(node) if made is None else made
        return field

    def _slide(self, field: Field, axis: int, key: Key) -> None:
        outer = True
        for atom in field.atoms[field.parts[axis]]:
            if atom.image:
                (self.slid if outer else self.inner).add(key)
            outer = outer and atom.size == 1


def _unrouted(inputs: Sequence[Field | Lost | None], output: Output) -> bool:
    """Whether an input that sees something has no route: the rule doesn't tell what it does."""
    routed = {route.input for route in output.routes} | set(output.ignored)
    return any(field is not None and i not in routed for i, field in enumerate(inputs))


def _stepped(field: Field, step: Step) -> Field | None:
    """A step done; None if the data decide what comes out."""
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
        case Picked():
            atoms = field.atoms[field.parts[step.axis]]
            if any(atom.classes > 1 or atom.image for atom in atoms):
                return None
            return spread(reduced(field, step.axis), step.axis, step.size)


def spatial_axes(shape: Shape, slid: Iterable[int], inner: Iterable[int]) -> tuple[int, ...]:
    """The axes of an input that are space: those along which something slides, attends or recurs.

    Where nothing does (a perceptron), those of an image by convention: N,C,*; N,*,* for three axes; none for two.
    """
    found = set(slid)
    if len(found) == 1:  # a row of tokens begins with H, or T, and has W in it
        found |= {axis for axis in inner if axis > min(found)}
    if found or len(shape) < 3:
        return tuple(sorted(found))
    return tuple(range(2, len(shape))) if len(shape) > 3 else (1, 2)
