"""Registry of the quantities that claims can be about, and helpers that find them in a Report.

A quantity that a model or layer does not have raises an error and is never zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from cnncost.errors import CnncostError
from cnncost.graph import Graph, Node
from cnncost.lecture.values import Value
from cnncost.report.model import Report

__all__ = [
    "NEEDS_RULES",
    "NETWORK_ONLY",
    "QUANTITIES",
    "TRAINING",
    "WORDS",
    "Quantity",
    "common_attribute",
    "graph_of",
    "input_of",
    "layers",
    "nodes",
    "output_of",
    "quantity",
    "side_or_extents",
    "value_of",
]  # fmt: skip

Quantity: TypeAlias = Callable[[Report, str], Value]
"""A function from a Report and a module's path (`""` for the whole network) to the value."""

QUANTITIES: dict[str, Quantity] = {}
WORDS: dict[str, str] = {}
"""The name of each quantity in sentences."""
NETWORK_ONLY = set[str]()
"""Quantities of a whole network that its layers don't have."""
NEEDS_RULES = set[str]()
"""Quantities that are unknown if any op has no rule."""
TRAINING = set[str]()
"""Quantities of a training step."""


def quantity(
    words: str, *, network_only: bool = False, needs_rules: bool = False, training: bool = False
) -> Callable[[Quantity], Quantity]:
    """Register a function as the quantity of the same name. `words` are the quantity's name in sentences."""

    def register(function: Quantity) -> Quantity:
        name = function.__name__
        QUANTITIES[name], WORDS[name] = function, words
        for names, member in ((NETWORK_ONLY, network_only), (NEEDS_RULES, needs_rules), (TRAINING, training)):
            if member:
                names.add(name)
        return function

    return register


def value_of(report: Report, name: str, layer: str) -> Value:
    """Return a quantity of a network, or of one of its layers.

    Raises:
        CnncostError: there is no such layer, it lacks the quantity, or ops without a rule make the quantity unknown.
    """
    module = report.module(layer)
    missing = module.unknown if layer else bool(report.unknown)
    if missing and name in NEEDS_RULES:
        raise CnncostError(
            f"{WORDS[name]} of {layer or report.model}: no exact figure, because no rule counts "
            f"{', '.join(report.unknown)}; register rules of your own (cnncost.rule)"
        )
    return QUANTITIES[name](report, layer)


def graph_of(report: Report) -> Graph:
    """Return the report's Graph. Raises CnncostError for a report that was read from a file."""
    if report.graph is None:
        raise CnncostError(f"{report.model}: a saved report has no Graph; name the model itself")
    return report.graph


def nodes(report: Report, layer: str, *kinds: str) -> list[Node]:
    """Return the nodes of these kinds in a module and its submodules, in order."""
    graph, below = graph_of(report), f"{layer}." if layer else ""
    paths = {call: f"{graph.scopes[each.scope].path}." for call, each in enumerate(graph.calls)}
    return [node for node in graph.nodes if node.spec.kind in kinds and paths[node.call].startswith(below)]


def layers(report: Report, layer: str, *kinds: str) -> list[Node]:
    """Return the first node of each layer of these kinds. Ops of one call that use the same weight are one layer.

    A layer that is called twice counts twice.
    """
    graph, by_layer = graph_of(report), dict[tuple[int, ...], Node]()
    for node in nodes(report, layer, *kinds):
        weights = tuple(graph.values[value].storage for value in node.inputs[1:2])
        # an op without a weight, such as pooling, is a layer by itself; -1 distinguishes its key from others
        by_layer.setdefault((node.call, *weights) if weights else (node.call, *node.outputs, -1), node)
    return list(by_layer.values())


def common_attribute(report: Report, layer: str, attribute: str, *kinds: str) -> Any:
    """Return the value of an attribute that all ops of these kinds in a layer have in common.

    Raises:
        CnncostError: there is no such op, or the values differ.
    """
    values = {node.spec.get(attribute): None for node in nodes(report, layer, *kinds)}
    if len(values) == 1 and (value := next(iter(values))) is not None:
        return value
    where, expected = layer or report.model, " or ".join(kinds)
    several = f"has different values: {', '.join(map(str, values))}; name a single layer" if values else "has none"
    raise CnncostError(f"{where}: {attribute} of its {expected}: {several}")


def output_of(report: Report, layer: str) -> tuple[int, ...]:
    """Return the shape of a module's output, without the batch axis.

    Raises:
        CnncostError: the module does not return exactly one tensor, or that has no axes.
    """
    shapes = report.module(layer).output_shapes
    if len(shapes) != 1 or not shapes[0]:
        raise CnncostError(f"{layer or report.model}: returns {len(shapes)} tensors; expected one, with a batch axis")
    return shapes[0][1:]


def input_of(report: Report) -> tuple[int, ...]:
    """Return the shape of the network's only input, without the batch axis.

    Raises:
        CnncostError: the network does not have exactly one input, or that has no axes.
    """
    if len(report.inputs) != 1 or not report.inputs[0][0]:
        raise CnncostError(f"{report.model}: has {len(report.inputs)} inputs; expected one, with a batch axis")
    return report.inputs[0][0][1:]


def side_or_extents(extents: tuple[int, ...]) -> Value:
    """Return one number if all extents are equal (2 instead of 2×2), else the extents."""
    return extents[0] if len(set(extents)) == 1 else extents
