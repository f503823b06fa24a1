"""Find attention written by hand: two products of activations with an op between them that may apply a mask.

Between the scores and the weighted sum, models apply masks in many ways: they add minus infinity before a softmax,
overwrite scores, multiply weights by zeros. Which pairs remain is unknown here, only that there may be fewer, so the
products found are those whose count is an upper bound. A value is followed from the first product to the second through
ops that compute elementwise or move elements, and through linear layers and convolutions, but not through a norm.
"""

from __future__ import annotations

from typing import NamedTuple

from cnncost.graph import Graph, Node
from cnncost.ops.kinds import has, having

_CARRIERS = frozenset({"pointwise", "dropout", "layout", "softmax", "scatter", "gather", "reduce", "create"})
"""Kinds of ops through which scores are followed."""
_ADDS = frozenset({"add", "add_scaled", "sub", "rsub", "addcmul", "addcdiv", "multiply_add", "logaddexp", "logaddexp2"})
"""Elementwise functions that add a tensor."""
_KEEPS_SCORES = frozenset({"mul", "div", "neg", "add", "add_scaled", "sub", "rsub", "positive"})
"""Functions of one tensor, or a tensor and a number, that don't turn scores into weights; all others count as a kind of
softmax (exp, sigmoid, relu)."""


class Trail(NamedTuple):
    """History of a value that derives from products of activations.

    Attributes:
        products: the product nodes.
        added: a tensor was added, which is a mask if the result becomes weights.
        cut: elements were overwritten, or multiplied by something that may be zero.
        weighed: a softmax or an elementwise function turned the value into weights.
    """

    products: frozenset[int]
    added: bool = False
    cut: bool = False
    weighed: bool = False

    @property
    def masked(self) -> bool:
        """True if pairs may be left out."""
        return self.cut or (self.added and self.weighed)


def by_hand(graph: Graph) -> set[int]:
    """Return the nodes of forward and backward that are products of hand-written attention whose scores may be masked.

    Backward products can't be matched to forward ones, so all backward products of a call whose forward has such
    attention are included.
    """
    trails: dict[int, Trail] = {}
    masked: set[int] = set()
    weights = _Weights(graph)
    # layers with weights of their own don't produce scores, but may lie between the two products (mixing of heads)
    products, layers = having("product"), having("product", "convolution")
    for index, node in enumerate(graph.nodes):
        inputs = [trails[i] for i in node.inputs if i in trails]
        if node.spec.kind in layers and weights.has(node):
            trails.update(dict.fromkeys(node.outputs, _merged(inputs)) if inputs else {})  # e.g. mixing of heads
        elif node.spec.kind in products:
            sources = frozenset[int]().union(*(t.products for t in inputs if t.masked))
            if sources:
                masked.update(sources, {index})
            added = len(node.inputs) > 2 and bool(node.spec.get("bias", True))  # as in `baddbmm`
            trails.update(dict.fromkeys(node.outputs, Trail(frozenset({index}), added=added)))
        elif inputs and node.spec.kind in _CARRIERS:
            operands = [i for i in node.inputs if i not in trails and i not in weights.pure]
            trails.update(dict.fromkeys(node.outputs, _next_trail(graph, node, inputs, operands)))
        weights.follow(node)
    calls = {graph.nodes[i].call for i in masked}
    return masked | {i for i, node in enumerate(graph.nodes) if _is_backward(node) and node.call in calls}


def _next_trail(graph: Graph, node: Node, trails: list[Trail], operands: list[int]) -> Trail:
    """Return the trail of an op's outputs. `operands`: its inputs without a trail, except parameters."""
    kind, function = node.spec.kind, node.spec["fn"] if node.spec.kind == "pointwise" else None
    shapes = [graph.values[i].type.shape for i in operands if graph.values[i].type.numel > 1]
    adds = function in _ADDS
    weighed = kind == "softmax" or (function is not None and len(node.inputs) == 1 and function not in _KEEPS_SCORES)
    if function == "mul" or kind == "dropout":
        cut = any(shape[-2:] != (1, 1) for shape in shapes)  # otherwise it scales whole matrices
    elif function == "div" or kind == "gather" or adds:
        cut = False  # softmax divides by its sums; selecting and adding don't overwrite anything
    else:
        cut = _overwrites(graph, node) or (bool(operands) and not _joins(graph, node))
    return _merged([*trails, Trail(frozenset(), adds and bool(shapes), cut, weighed)])


def _merged(trails: list[Trail]) -> Trail:
    return Trail(
        frozenset[int]().union(*(t.products for t in trails)),
        any(t.added for t in trails),
        any(t.cut for t in trails),
        any(t.weighed for t in trails),
    )


def _overwrites(graph: Graph, node: Node) -> bool:
    """True if an op overwrites elements without reading another tensor: fills in place, or zeroes a triangle."""
    if node.spec.kind == "create":
        return _storages(graph, node.inputs).issuperset(_storages(graph, node.outputs))
    return node.spec.kind == "layout" and bool(node.spec.get("zeroes"))


def _joins(graph: Graph, node: Node) -> bool:
    """True if a layout op keeps the elements of all inputs: it concatenates them, or updates a view after a write."""
    if node.spec.kind != "layout":
        return False
    moves = node.spec["moves"]
    if moves is None:
        return _storages(graph, node.inputs) == _storages(graph, node.outputs)
    return bool(moves) and moves[-1][0] == "cat"


def _storages(graph: Graph, values: tuple[int, ...]) -> set[int]:
    return {graph.values[i].storage for i in values}


def _is_backward(node: Node) -> bool:
    return node.phase == "backward" and has(node.spec.kind, "product")


class _Weights:
    """Values that depend on parameters and not on inputs: a product with one of them does not compute scores.

    Attributes:
        pure: parameters and parts of parameters; their elements are finite, so adding one does not mask.
    """

    def __init__(self, graph: Graph) -> None:
        roles = {"parameter": set[int](), "buffer": set[int](), "constant": set[int]()}
        for value in graph.values:
            if value.role in roles:
                roles[value.role].add(value.id)
        self._from_parameters = set(roles["parameter"])
        self.pure = roles["parameter"] - set(graph.undeclared)  # undeclared ones may be masks
        self._fixed = roles["buffer"] | roles["constant"]  # and the values computed from these alone

    def has(self, node: Node) -> bool:
        """True if an input of the op depends on parameters, but not on the model's inputs."""
        return not self._from_parameters.isdisjoint(node.inputs)

    def follow(self, node: Node) -> None:
        """Update the sets with an op's outputs."""
        if not self._fixed.issuperset(set(node.inputs) - self._from_parameters):
            return
        if not self.has(node):
            self._fixed.update(node.outputs)
            return
        self._from_parameters.update(node.outputs)
        is_part = node.spec.kind == "gather" or (node.spec.kind == "layout" and not node.spec.get("zeroes"))
        if is_part and node.inputs[0] in self.pure:
            self.pure.update(node.outputs)
