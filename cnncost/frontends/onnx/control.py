"""Ops with subgraphs: branches and loops. They are unrolled if the file alone fixes which ops run, and how often."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cnncost.frontends.onnx.builder import Path, Weight
from cnncost.frontends.onnx.lowering.registry import Op, Tensor
from cnncost.frontends.onnx.tensors import declared, value_of

OPS = frozenset({"If", "Loop", "Scan"})
MOST_STEPS = 20_000
"""Most nodes that a loop is unrolled into; a longer one is unknown."""


def captured(attributes: Mapping[str, Any]) -> bool:
    """Return True if an op has subgraphs among its attributes."""
    return any(hasattr(value, "node") for value in attributes.values())


def followed(run: Any, node: Any, op: Op, names: dict[str, Tensor], path: Path) -> list[Tensor]:
    """Return the outputs of If, Loop or Scan. If data decides what runs, the op is recorded as unknown."""
    outside, run.within = run.within, f"{run.within}{','.join(node.output)}/"  # unique: output names are
    try:
        outputs = {"If": _branch, "Loop": _loop, "Scan": _scan}[node.op_type](run, op, names, path)
    finally:
        run.within = outside
    if outputs is None:
        run.builder.note(f"{node.name or node.op_type}: which ops it runs, or how often, is not fixed by the file")
        return run.unknown(node, "", op, [None] * len(node.output), run.builder.call(path))  # type: ignore[no-any-return]
    return outputs


def left_out(run: Any, op: Op, call: int) -> None:
    """Register the weights of subgraphs that don't run, as parameters: they are in the file all the same."""
    for graph in (value for value in op.attributes.values() if hasattr(value, "node")):
        for place, proto in _stored_in(graph, ""):
            kind = declared(proto)
            if kind is not None and kind.floating and kind.numel > 1:
                weight = Weight(run.builder.source(kind, "parameter"), f"{run.within}{place}", call, buffer=False)
                run.builder.weights.append(weight)


def _stored_in(graph: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Yield the initializers and constants of a graph and its subgraphs, each with a unique name."""
    place = f"{place}{','.join(output.name for output in graph.output)}/"
    yield from ((f"{place}{proto.name}", proto) for proto in graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                yield f"{place}{node.output[0]}", attribute.t
            for inner in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _stored_in(inner, place)


def followed_graph(
    run: Any, graph: Any, names: dict[str, Tensor], bound: Mapping[str, Tensor], path: Path
) -> list[Tensor]:  # fmt: skip
    """Run a subgraph, which sees the names of the graphs around it; returns its outputs."""
    inner = {**names, **bound}
    place = ".".join(part for part, _ in path)
    outside, run.within = run.within, f"{run.within}{place}/{','.join(output.name for output in graph.output)}/"
    try:
        for proto in graph.initializer:
            inner[proto.name] = run.stored(proto.name, proto, f"{run.within}{proto.name}")
        run.run(graph.node, inner, path)
        run.unread(graph.initializer, run.within, run.builder.call(path))
    finally:
        run.within = outside
    return [inner[output.name] for output in graph.output]


def _branch(run: Any, op: Op, names: dict[str, Tensor], path: Path) -> list[Tensor] | None:
    condition = op.constant(0)
    if condition is None or condition.size != 1:
        return None
    graph = op.get("then_branch" if condition.reshape(-1)[0] else "else_branch")
    return followed_graph(run, graph, names, {}, path)


def _loop(run: Any, op: Op, names: dict[str, Tensor], path: Path) -> list[Tensor] | None:
    """Unroll a Loop; None unless trip count and condition are constants.

    The body has to pass its condition on, or set it to a constant.
    """
    graph, trips = op.get("body"), op.constant(0)
    condition = op.constant(1)
    if trips is None or (op.has(1) and condition is None):
        return None
    count = int(trips.reshape(-1)[0])
    if count * max(len(graph.node), 1) > MOST_STEPS or not _goes_on(graph):
        return None
    if condition is not None and not condition.reshape(-1)[0]:
        count = 0
    if count <= 0 and len(graph.output) - 1 > len(op.inputs) - 2:
        return None  # outputs of no iteration at all have no shape here
    carried = [tensor for tensor in op.inputs[2:] if tensor is not None]
    state = list(carried)
    collected: list[list[Tensor]] = []
    for i in range(max(count, 0)):
        bound = {graph.input[0].name: run.constant(np.asarray(i, np.int64)),
                 graph.input[1].name: run.constant(np.asarray(True))}  # fmt: skip
        bound |= {value.name: tensor for value, tensor in zip(graph.input[2:], state, strict=True)}
        results = followed_graph(run, graph, names, bound, path)
        state = results[1 : 1 + len(state)]
        collected.append(results[1 + len(state) :])
    stacked = [_stacked(run, list(each), 0, path) for each in zip(*collected, strict=True)]
    return None if None in stacked else [*state, *(each for each in stacked if each is not None)]


def _goes_on(graph: Any) -> bool:
    """Return True if a loop's body leaves the condition unchanged, or sets it to a constant that is true."""
    wanted = graph.output[0].name
    for _ in range(len(graph.node) + 1):
        if wanted == graph.input[1].name:
            return True
        maker = next((node for node in graph.node if wanted in node.output), None)
        if maker is None:
            stored = next((t for t in graph.initializer if t.name == wanted), None)
            return stored is not None and _true(stored)
        if maker.op_type == "Constant":
            return any(a.name == "value" and _true(a.t) for a in maker.attribute)
        if maker.op_type != "Identity":
            return False
        wanted = maker.input[0]
    return False


def _true(proto: Any) -> bool:
    value = value_of(proto)
    return value is not None and bool(np.all(value))


def _scan(run: Any, op: Op, names: dict[str, Tensor], path: Path) -> list[Tensor] | None:
    """Unroll a Scan, of opset 9 or later, over the positions of its axes; None if it can't be unrolled."""
    graph, scanned = op.get("body"), op.get("num_scan_inputs")
    inputs = [tensor for tensor in op.inputs if tensor is not None]
    if op.opset < 9 or len(inputs) != len(op.inputs) or any(t.type is None for t in inputs):
        return None
    states, xs = inputs[: len(inputs) - scanned], inputs[len(inputs) - scanned :]
    axes = op.get("scan_input_axes") or [0] * scanned
    backwards = op.get("scan_input_directions") or [0] * scanned
    count = xs[0].type.shape[axes[0]]  # type: ignore[union-attr]
    results = len(graph.output) - len(states)
    if not count or count * max(len(graph.node), 1) > MOST_STEPS:
        return None
    out_axes = op.get("scan_output_axes") or [0] * results
    reverse = op.get("scan_output_directions") or [0] * results
    collected: list[list[Tensor]] = []
    for i in range(count):
        parts = [
            _selected(run, x, axis, count - 1 - i if back else i, path)
            for x, axis, back in zip(xs, axes, backwards, strict=True)
        ]
        bound = {value.name: tensor for value, tensor in zip(graph.input, [*states, *parts], strict=True)}
        made = followed_graph(run, graph, names, bound, path)
        states = made[: len(states)]
        collected.append(made[len(states) :])
    stacked = [
        _stacked(run, list(each)[::-1] if back else list(each), axis, path)
        for each, axis, back in zip(zip(*collected, strict=True), out_axes, reverse, strict=True)
    ]
    return None if None in stacked else [*states, *(each for each in stacked if each is not None)]


def _selected(run: Any, x: Tensor, axis: int, index: int, path: Path) -> Tensor:
    kind = x.type
    assert kind is not None
    axis %= len(kind.shape)
    call = run.builder.call(path)
    value = run.value(x, "Scan", "", 0, call)
    to = kind._replace(shape=(*kind.shape[:axis], *kind.shape[axis + 1 :]))
    moves = (("select", axis, index),)
    return run.tensor(run.builder.node("onnx.Scan", "layout", {"copy": True, "moves": moves}, [value], [to], call)[0])  # type: ignore[no-any-return]


def _stacked(run: Any, parts: list[Tensor], axis: int, path: Path) -> Tensor | None:
    """Stack the results of all iterations along a new axis; None if their types differ or are unknown."""
    kinds = {part.type for part in parts}
    kind = next(iter(kinds))
    if len(kinds) != 1 or kind is None:
        return None
    call = run.builder.call(path)
    values = [run.value(part, "Loop", "", 0, call) for part in parts]
    axis %= len(kind.shape) + 1
    one = (*kind.shape[:axis], 1, *kind.shape[axis:])
    to = kind._replace(shape=(*kind.shape[:axis], len(parts), *kind.shape[axis:]))
    moves = (("reshape", one), ("cat", axis))
    return run.tensor(run.builder.node("onnx.Loop", "layout", {"copy": True, "moves": moves}, values, [to], call)[0])  # type: ignore[no-any-return]
