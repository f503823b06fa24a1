"""Ops with subgraphs (If, Loop, Scan): inlined or unrolled if constants determine which ops run, and how often."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cnncost.errors import SourceError
from cnncost.frontends.onnx.builder import Path, Weight
from cnncost.frontends.onnx.folding import EIGHT_BITS
from cnncost.frontends.onnx.guards import note_sparse
from cnncost.frontends.onnx.lowering.registry import Op, Tensor
from cnncost.frontends.onnx.protocols import Interpretation
from cnncost.frontends.onnx.structure import invalid_scan, subgraph_of
from cnncost.frontends.onnx.tensors import declared, dense, initializers
from cnncost.frontends.onnx.trips import MAX_NODES, trip_count

OPS = frozenset({"If", "Loop", "Scan"})


def has_subgraphs(attributes: Mapping[str, Any]) -> bool:
    """Return True if an op has subgraphs among its attributes."""
    return any(hasattr(value, "node") for value in attributes.values())


def lower_control_op(
    interpreter: Interpretation, node: Any, op: Op, names: dict[str, Tensor], path: Path
) -> list[Tensor]:
    """Return the outputs of If, Loop or Scan; if it can't be inlined or unrolled, it is recorded as an unknown op.

    Raises:
        SourceError: a subgraph is missing, or its number of inputs or outputs doesn't fit the node.
    """
    _check_subgraphs(interpreter.spec, node, op)
    outside = interpreter.prefix
    interpreter.prefix = f"{outside}{','.join(node.output)}/"  # output names are unique
    try:
        outputs = {"If": _branch, "Loop": _loop, "Scan": _scan}[node.op_type](interpreter, op, names, path)
    finally:
        interpreter.prefix = outside
    if outputs is None:
        interpreter.builder.note(
            f"{node.name or node.op_type}: its subgraphs are not counted, because its condition or trip count is not "
            "constant, a shape is unknown, or the loop is too long to unroll"
        )
        return interpreter.unknown(node, "", op, [None] * len(node.output), interpreter.builder.call(path))
    return outputs


def _check_subgraphs(spec: str, node: Any, op: Op) -> None:
    """Raise SourceError if a subgraph of If, Loop or Scan is missing or doesn't fit the node."""
    inputs, outputs = len(op.inputs), len(node.output)
    if node.op_type == "If":
        for name in ("then_branch", "else_branch"):
            subgraph_of(spec, node, op, name, 0, outputs)
    elif node.op_type == "Loop":
        states = max(inputs - 2, 0)
        subgraph_of(spec, node, op, "body", 2 + states, 1 + max(states, outputs))
    elif op.opset >= 9:  # the older Scan has another first input
        known = all(tensor is not None and tensor.type is not None for tensor in op.inputs)
        if known and (message := next(invalid_scan(op, inputs), "")):
            raise SourceError(f"{spec}: node {node.name or node.op_type}: {message}; the file is damaged")
        subgraph_of(spec, node, op, "body", inputs, outputs)


def register_skipped_weights(interpreter: Interpretation, op: Op, call: int) -> None:
    """Register the weights in an unknown op's subgraphs as parameters: the file stores them, whatever runs."""
    for graph in (value for value in op.attributes.values() if hasattr(value, "node")):
        for place, proto in _stored_tensors(graph, ""):
            kind = declared(proto)
            if kind is None or kind.numel < 2:
                continue
            if kind.floating or (kind.dtype in EIGHT_BITS and len(kind.shape) > 1):  # vectors may be zero points
                weight = Weight(
                    interpreter.builder.source(kind, "parameter"), f"{interpreter.prefix}{place}", call, buffer=False
                )
                interpreter.builder.weights.append(weight)


def _stored_tensors(graph: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Yield the initializers and Constant tensors of a graph and its subgraphs, each with a unique name."""
    place = f"{place}{','.join(output.name for output in graph.output)}/"
    yield from ((f"{place}{proto.name}", proto) for proto in initializers(graph))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name in {"value", "sparse_value"}:
                sparse = attribute.name == "sparse_value"
                yield f"{place}{','.join(node.output)}", dense(attribute.sparse_tensor) if sparse else attribute.t
            for inner in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _stored_tensors(inner, place)


def run_subgraph(
    interpreter: Interpretation, graph: Any, names: dict[str, Tensor], bound: Mapping[str, Tensor], path: Path,
    count: int = 1,
) -> list[Tensor]:  # fmt: skip
    """Run a subgraph, which can read the names of its enclosing graphs; returns its outputs.

    `count` is the number of times that its op runs it in all; it lowers the limit on unrolling loops inside it.

    Raises:
        SourceError: no node computes one of its outputs.
    """
    inner = {**names, **bound}
    place = ".".join(part for part, _ in path)
    outside, declared_outside = interpreter.prefix, interpreter.declared_types
    interpreter.declared_types = {info.name: info.type for info in (*graph.value_info, *graph.output)}
    interpreter.repetitions *= count
    interpreter.prefix = f"{outside}{place}/{','.join(output.name for output in graph.output)}/"
    try:
        note_sparse(interpreter, graph.sparse_initializer)
        for proto in initializers(graph):
            inner[proto.name] = interpreter.stored(proto.name, proto, f"{interpreter.prefix}{proto.name}")
        interpreter.run(graph.node, inner, path)
        interpreter.register_unused(initializers(graph), interpreter.prefix, interpreter.builder.call(path))
    finally:
        interpreter.prefix, interpreter.declared_types = outside, declared_outside
        interpreter.repetitions //= count
    if lost := [output.name for output in graph.output if output.name not in inner]:
        raise SourceError(f"{interpreter.spec}: no node computes {lost[0]!r}, an output of the graph {graph.name!r}")
    return [inner[output.name] for output in graph.output]


def _branch(interpreter: Interpretation, op: Op, names: dict[str, Tensor], path: Path) -> list[Tensor] | None:
    condition = op.constant(0)
    if condition is None or condition.size != 1:
        return None
    graph = op.get("then_branch" if condition.reshape(-1)[0] else "else_branch")
    return run_subgraph(interpreter, graph, names, {}, path)


def _loop(interpreter: Interpretation, op: Op, names: dict[str, Tensor], path: Path) -> list[Tensor] | None:
    """Unroll a Loop; None if its trip count is not constant or too large, or an output's type is unknown."""
    graph = op.get("body")
    count = trip_count(op, graph, names, MAX_NODES // (max(len(graph.node), 1) * interpreter.repetitions))
    if count is None:
        return None
    if count <= 0 and len(graph.output) - 1 > len(op.inputs) - 2:
        return None  # without an iteration, the shapes of stacked outputs are unknown
    carried = [tensor for tensor in op.inputs[2:] if tensor is not None]
    state = list(carried)
    collected: list[list[Tensor]] = []
    for i in range(count):
        bound = {graph.input[0].name: interpreter.constant(np.asarray(i, np.int64)),
                 graph.input[1].name: interpreter.constant(np.asarray(True))}  # fmt: skip
        bound |= {value.name: tensor for value, tensor in zip(graph.input[2:], state, strict=True)}
        results = run_subgraph(interpreter, graph, names, bound, path, count)
        state = results[1 : 1 + len(state)]
        collected.append(results[1 + len(state) :])
    stacked = [_stack(interpreter, list(each), 0, path) for each in zip(*collected, strict=True)]
    return None if None in stacked else [*state, *(each for each in stacked if each is not None)]


def _scan(interpreter: Interpretation, op: Op, names: dict[str, Tensor], path: Path) -> list[Tensor] | None:
    """Unroll a Scan over its scan axes; None before opset 9, if a type is unknown, or if too many nodes would run."""
    graph, scanned = op.get("body"), op.get("num_scan_inputs")
    inputs = [tensor for tensor in op.inputs if tensor is not None]
    if op.opset < 9 or len(inputs) != len(op.inputs) or any(t.type is None for t in inputs):
        return None
    states, xs = inputs[: len(inputs) - scanned], inputs[len(inputs) - scanned :]
    axes = op.get("scan_input_axes") or [0] * scanned
    backwards = op.get("scan_input_directions") or [0] * scanned
    count = xs[0].type.shape[axes[0]]  # type: ignore[union-attr]  # checked above
    stacks = len(graph.output) - len(states)  # the outputs after the states are stacked over the iterations
    if not count or count * max(len(graph.node), 1) * interpreter.repetitions > MAX_NODES:
        return None
    out_axes = op.get("scan_output_axes") or [0] * stacks
    out_backwards = op.get("scan_output_directions") or [0] * stacks
    collected: list[list[Tensor]] = []
    for i in range(count):
        parts = [
            _select(interpreter, x, axis, count - 1 - i if back else i, path)
            for x, axis, back in zip(xs, axes, backwards, strict=True)
        ]
        bound = {value.name: tensor for value, tensor in zip(graph.input, [*states, *parts], strict=True)}
        results = run_subgraph(interpreter, graph, names, bound, path, count)
        states = results[: len(states)]
        collected.append(results[len(states) :])
    stacked = [
        _stack(interpreter, list(each)[::-1] if back else list(each), axis, path)
        for each, axis, back in zip(zip(*collected, strict=True), out_axes, out_backwards, strict=True)
    ]
    return None if None in stacked else [*states, *(each for each in stacked if each is not None)]


def _select(interpreter: Interpretation, x: Tensor, axis: int, index: int, path: Path) -> Tensor:
    kind = x.type
    assert kind is not None
    axis %= len(kind.shape)
    call = interpreter.builder.call(path)
    value = interpreter.value(x, "Scan", "", 0, call)
    to = kind._replace(shape=(*kind.shape[:axis], *kind.shape[axis + 1 :]))
    moves = (("select", axis, index),)
    return interpreter.tensor(
        interpreter.builder.node("onnx.Scan", "layout", {"copy": True, "moves": moves}, [value], [to], call)[0]
    )


def _stack(interpreter: Interpretation, parts: list[Tensor], axis: int, path: Path) -> Tensor | None:
    """Stack the results of all iterations along a new axis; None if their types differ or are unknown."""
    kinds = {part.type for part in parts}
    kind = next(iter(kinds))
    if len(kinds) != 1 or kind is None:
        return None
    call = interpreter.builder.call(path)
    values = [interpreter.value(part, "Loop", "", 0, call) for part in parts]
    axis %= len(kind.shape) + 1
    one = (*kind.shape[:axis], 1, *kind.shape[axis:])
    to = kind._replace(shape=(*kind.shape[:axis], len(parts), *kind.shape[axis:]))
    moves = (("reshape", one), ("cat", axis))
    return interpreter.tensor(
        interpreter.builder.node("onnx.Loop", "layout", {"copy": True, "moves": moves}, values, [to], call)[0]
    )
