"""Checks a graph's structure: each name is defined once, and subgraphs have the inputs and outputs that an op needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from cnncost.errors import SourceError
from cnncost.frontends.onnx.lowering.registry import Op
from cnncost.frontends.onnx.tensors import initializers


def check_names(where: str, inputs: Iterable[str], stored: Iterable[str], nodes: Iterable[Any]) -> None:
    """Raise SourceError if two inputs, two nodes, or a node and an input or initializer define the same name.

    Args:
        where: the file and the graph, for the message.
        inputs: names of the graph's inputs.
        stored: names of its initializers, which may be inputs as well.
        nodes: its nodes.
    """
    defined: set[str] = set()
    for name in inputs:
        if name in defined:
            raise SourceError(f"{where}: two inputs are called {name!r}; expected each name once: the file is damaged")
        defined.add(name)
    defined.update(stored)
    for node in nodes:
        for name in node.output:
            if name in defined:
                raise SourceError(
                    f"{where}: node {node.name or node.op_type} returns {name!r}, a name that another node's output, "
                    "an input or an initializer has, too; expected each name once: the file is damaged"
                )
            if name:
                defined.add(name)


def subgraph_of(spec: str, node: Any, op: Op, name: str, needed_inputs: int, min_outputs: int) -> Any:
    """Return the subgraph in the attribute `name`.

    Raises:
        SourceError: there is none, it has another number of inputs or too few outputs, or it defines a name twice.
    """
    graph = op.get(name)
    where = f"{spec}: node {node.name or node.op_type}"
    if not hasattr(graph, "node"):
        raise SourceError(f"{where}: expected a graph as attribute {name}, it has none; the file is damaged")
    if len(graph.input) != needed_inputs or len(graph.output) < min_outputs:
        raise SourceError(
            f"{where}: expected a {name} of {needed_inputs} inputs and {min_outputs} or more outputs, it has "
            f"{len(graph.input)} and {len(graph.output)}; the file is damaged"
        )
    stored = [proto.name for proto in initializers(graph)]
    check_names(f"{where}, {name}", [value.name for value in graph.input], stored, graph.node)
    return graph


def invalid_scan(op: Op, count: int) -> Iterator[str]:
    """Yield the first fault, if any, of a Scan with `count` inputs, all of known type: in its attributes or inputs."""
    scanned = op.get("num_scan_inputs")
    if not isinstance(scanned, int) or not 0 < scanned <= count:
        yield f"num_scan_inputs is {scanned}, but there are {count} inputs"
        return
    for name in ("scan_input_axes", "scan_input_directions"):
        if op.get(name) and len(op.get(name)) != scanned:
            yield f"{name} has {len(op.get(name))} entries for {scanned} inputs"
            return
    axes = op.get("scan_input_axes") or [0] * scanned
    shapes = [op.x(i).shape for i in range(count - scanned, count)]
    for axis, shape in zip(axes, shapes, strict=True):
        if not -len(shape) <= axis < len(shape):
            yield f"the scan axis {axis} does not exist in an input of {len(shape)} axes"
            return
    lengths = [shape[axis] for axis, shape in zip(axes, shapes, strict=True)]
    if len(set(lengths)) > 1:
        yield f"expected scanned inputs of equal length, they have {' and '.join(map(str, lengths))} positions"
