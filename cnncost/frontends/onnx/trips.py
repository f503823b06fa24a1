"""The trip count of a Loop, if it follows from constants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cnncost.frontends.onnx.attributes import attribute_of
from cnncost.frontends.onnx.constants import fold
from cnncost.frontends.onnx.lowering.registry import Op, Tensor
from cnncost.frontends.onnx.tensors import Constant, value_of

MAX_NODES = 20_000
"""Maximum number of nodes that a loop is unrolled into; a longer loop is an unknown op."""


def trip_count(op: Op, graph: Any, names: Mapping[str, Tensor], most: int) -> int | None:
    """Return a Loop's trip count; None if it depends on data or on the runtime, or exceeds `most`.

    Args:
        op: the Loop.
        graph: its body.
        names: the tensors of the graphs around it.
        most: the largest number of iterations to unroll.
    """
    limit, condition = op.constant(0), op.constant(1)
    if (op.has(0) and limit is None) or (op.has(1) and condition is None):
        return None
    if condition is not None and not condition.reshape(-1)[0]:
        return 0
    longest = most + 1 if limit is None else max(int(limit.reshape(-1)[0]), 0)
    if graph.output[0].name != graph.input[1].name:
        found = _until_false(op, graph, names, min(longest, most + 1))
        if found is not None and found < longest and not op.has(1):
            return None  # the standard ignores the body's condition in this case, but runtimes obey it
        if found is None or found <= most:
            return found
    return longest if longest <= most else None


def _until_false(op: Op, graph: Any, names: Mapping[str, Tensor], longest: int) -> int | None:
    """Evaluate the nodes that the condition depends on until it is false; returns the iterations, at most `longest`.

    None if one of these nodes can't be evaluated on constants.
    """
    nodes, states = _needed(graph)
    known: dict[str, Constant | None] = {name: tensor.constant for name, tensor in names.items()}
    known.update({proto.name: value_of(proto) for proto in graph.initializer})
    given = {value.name: tensor.constant if tensor is not None else None
             for value, tensor in zip(graph.input[2:], op.inputs[2:], strict=False)}  # fmt: skip
    current = {name: given.get(name) for name in states}
    varies = bool(states) or any(graph.input[0].name in node.input for node in nodes)
    for i in range(longest):
        values = {
            **known,
            **current,
            graph.input[0].name: np.asarray(i, np.int64),
            graph.input[1].name: np.asarray(True),
        }
        for node in nodes:
            outputs = _evaluated(node, values)
            if outputs is None:
                return None
            values.update(zip(node.output, outputs, strict=False))
        condition = values.get(graph.output[0].name)
        if condition is None or condition.size != 1:
            return None
        if not condition.reshape(-1)[0]:
            return i + 1
        if not varies:
            break  # the condition stays true
        current = {name: values.get(output) for name, output in states.items()}
    return longest


def _needed(graph: Any) -> tuple[list[Any], dict[str, str]]:
    """Return what a body's condition depends on: nodes, and loop-carried states with the outputs that update them."""
    updates = {value.name: output.name for value, output in zip(graph.input[2:], graph.output[1:], strict=False)}
    makers = {name: node for node in graph.node for name in node.output}
    open_names, seen = [graph.output[0].name], set()
    while open_names:
        name = open_names.pop()
        if name in seen:
            continue
        seen.add(name)
        open_names += list(makers[name].input) if name in makers else [updates[name]] if name in updates else []
    nodes = [node for node in graph.node if seen & set(node.output)]
    return nodes, {name: output for name, output in updates.items() if name in seen}


def _evaluated(node: Any, values: Mapping[str, Constant | None]) -> list[Constant] | None:
    """Return a node's outputs on constants; None if an input's value is unknown, or no rule evaluates the op."""
    attributes = {attribute.name: attribute_of(attribute) for attribute in node.attribute}
    if node.domain not in {"", "ai.onnx"} or any(hasattr(value, "node") for value in attributes.values()):
        return None
    if node.op_type == "Constant":
        (value,) = attributes.values()
        return None if value is None or isinstance(value, str) else [np.asarray(value)]
    inputs = [values.get(name) if name else None for name in node.input]
    if any(name and value is None for name, value in zip(node.input, inputs, strict=True)):
        return None
    return fold(node.op_type, attributes, inputs)
