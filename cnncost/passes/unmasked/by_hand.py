"""Attention written by hand: two products of activations, and between them what a mask may have come in by.

Between the scores and what they weigh, models put a mask on in many ways: they add minus infinity before a softmax,
write something over the scores, multiply weights by zeros. Which pairs that leaves is not known here, only that it may
be fewer: the products are told, and their count is an upper bound. A value is followed from the one product to the
other through whatever works on elements or moves them, and through layers without a norm.
"""

from __future__ import annotations

from typing import NamedTuple

from cnncost.graph import Graph, Node

_PRODUCTS = frozenset({"matmul", "linear"})
_LAYERS = _PRODUCTS | {"conv"}
"""With weights of their own they make no scores, and go between them and what they weigh: heads are mixed so."""
_CARRIERS = frozenset({"pointwise", "dropout", "layout", "softmax", "scatter", "gather", "reduce", "create"})
_ADDS = frozenset({"add", "sub", "rsub", "addcmul", "addcdiv", "logaddexp"})
_OVER = frozenset({"fill", "zero", "fill_diagonal", "tril", "triu"})
"""Ops that put something in the place of elements, without another tensor."""
_KEEPS = frozenset({"div", "cat", "concat", "stack", "hstack", "vstack", "after_write", "alias"})
"""Ops of several tensors that put nothing out: a quotient by sums, neighbours."""
_STRAIGHT = frozenset({"mul", "div", "neg", "add", "sub", "rsub", "positive"})
"""Ops of one tensor that make no weights of scores: all others are softmaxes of a kind (exp, sigmoid, relu)."""


class Trail(NamedTuple):
    """What came of products of activations.

    Attributes:
        products: the nodes.
        added: something was added, which is a mask if weights are made of it.
        cut: something was put in the place of elements, or multiplied by what may be zero.
        weighed: a function of each element, or a softmax, made weights of it.
    """

    products: frozenset[int]
    added: bool = False
    cut: bool = False
    weighed: bool = False

    @property
    def masked(self) -> bool:
        """Whether pairs may be left out."""
        return self.cut or (self.added and self.weighed)


def by_hand(graph: Graph) -> set[int]:
    """Nodes of forward and backward that are products of attention written by hand whose scores may be masked.

    A backward's are those of the same values' gradients; as these are not told apart, all products of a call's
    backward are, whose forward has such.
    """
    trails: dict[int, Trail] = {}
    found: set[int] = set()
    weights = _Weights(graph)
    for index, node in enumerate(graph.nodes):
        inputs = [trails[i] for i in node.inputs if i in trails]
        if node.spec.kind in _LAYERS and weights.has(node):
            trails.update(dict.fromkeys(node.outputs, _joined(inputs)) if inputs else {})  # heads mixed, for one
        elif node.spec.kind in _PRODUCTS:
            made = frozenset[int]().union(*(t.products for t in inputs if t.masked))
            if made:
                found.update(made, {index})
            added = len(node.inputs) > 2 and bool(node.spec.get("bias", True))  # as of `baddbmm`
            trails.update(dict.fromkeys(node.outputs, Trail(frozenset({index}), added=added)))
        elif inputs and node.spec.kind in _CARRIERS:
            others = [i for i in node.inputs if i not in trails and i not in weights.pure]
            trails.update(dict.fromkeys(node.outputs, _onwards(graph, node, inputs, others)))
        weights.follow(node)
    calls = {graph.nodes[i].call for i in found}
    return found | {i for i, node in enumerate(graph.nodes) if _is_backward(node) and node.call in calls}


def _onwards(graph: Graph, node: Node, trails: list[Trail], others: list[int]) -> Trail:
    """What an op makes of trails. `others`: values beside them, which are not parameters."""
    kind, op = node.spec.kind, _name(node)
    shapes = [graph.values[i].type.shape for i in others if graph.values[i].type.numel > 1]
    added = bool(shapes) and op in _ADDS
    if op == "mul":
        cut = any(shape[-2:] != (1, 1) for shape in shapes)  # else it is a scale of whole matrices
    elif kind == "gather":
        cut = False
    else:
        cut = op in _OVER or (bool(others) and op not in _ADDS | _KEEPS)
    weighed = kind == "softmax" or (kind == "pointwise" and len(node.inputs) == 1 and op not in _STRAIGHT)
    return _joined([*trails, Trail(frozenset(), added, cut, weighed)])


def _joined(trails: list[Trail]) -> Trail:
    return Trail(
        frozenset[int]().union(*(t.products for t in trails)),
        any(t.added for t in trails),
        any(t.cut for t in trails),
        any(t.weighed for t in trails),
    )


def _name(node: Node) -> str:
    """`masked_fill` of `aten.masked_fill_.Scalar`."""
    parts = node.name.split(".")
    return parts[min(1, len(parts) - 1)].rstrip("_")


def _is_backward(node: Node) -> bool:
    return node.phase == "backward" and node.spec.kind in _PRODUCTS


class _Weights:
    """Values that follow from parameters and from nothing of the inputs: a product with such is none of scores.

    Attributes:
        pure: parameters, and parts of them: finite, and so no masks where they are added.
    """

    def __init__(self, graph: Graph) -> None:
        roles = {"parameter": set[int](), "buffer": set[int](), "constant": set[int]()}
        for value in graph.values:
            if value.role in roles:
                roles[value.role].add(value.id)
        self.pure = roles["parameter"]
        self._made = set(self.pure)
        self._fixed = roles["buffer"] | roles["constant"]

    def has(self, node: Node) -> bool:
        """Whether an op is of such a value."""
        return not self._made.isdisjoint(node.inputs)

    def follow(self, node: Node) -> None:
        """Look at an op."""
        if not self._fixed.issuperset(set(node.inputs) - self._made):
            return
        if not self.has(node):
            self._fixed.update(node.outputs)
            return
        self._made.update(node.outputs)
        if node.spec.kind in {"layout", "gather"} and node.inputs[0] in self.pure and _name(node) not in _OVER:
            self.pure.update(node.outputs)
