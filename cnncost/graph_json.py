"""Converts a Graph to JSON and back, without loss. Each spec is stored once and referenced by index."""

from __future__ import annotations

import json
from typing import Any, cast

from cnncost.errors import GraphError
from cnncost.graph import (
    Attr,
    Call,
    Failure,
    FusedNodes,
    Graph,
    Node,
    OpSpec,
    Owned,
    Placement,
    RealRun,
    Scope,
    SparseType,
    Storage,
    TensorType,
    Value,
    verify,
)
from cnncost.masks import Mask

SCHEMA = 3
"""Version of the format.

2: layout ops list their moves instead of a framework's op names and arguments.
3: ops state whether they set elements to zero and whether their first input is an addend.
"""


def to_json(graph: Graph) -> str:
    """Return the Graph as one JSON document."""
    index = {spec: i for i, spec in enumerate(graph.specs)}
    sparse = any(type(value.type) is SparseType for value in graph.values)
    return json.dumps(
        {
            "graph_schema": SCHEMA,
            "values": _with_stored(graph.values) if sparse else graph.values,
            "specs": [
                [s.kind, *(_with_stored((s.inputs, s.outputs)) if sparse else (s.inputs, s.outputs)), s.attrs]
                for s in graph.specs
            ],
            "nodes": [[index[n.spec], *n[1:]] for n in graph.nodes],
            "scopes": graph.scopes,
            "calls": graph.calls,
            "storages": graph.storages,
            "inputs": graph.inputs,
            "outputs": graph.outputs,
            **({"examples": graph.examples} if graph.examples is not None else {}),
            **({"notes": graph.notes} if graph.notes else {}),
            **({"real": graph.real} if graph.real is not None else {}),
            **({"masks": graph.masks} if graph.masks else {}),
            **({"failed": graph.failed} if graph.failed is not None else {}),
            **({"undeclared": graph.undeclared} if graph.undeclared else {}),
            **({"placement": graph.placement} if graph.placement is not None else {}),
            **({"fused": graph.fused} if graph.fused else {}),
        }
    )


def from_json(text: str) -> Graph:
    """Read a Graph that `to_json` wrote.

    Raises:
        GraphError: the text is not JSON, has another schema or lacks a field, or `verify` rejects the Graph.
    """
    try:
        data = json.loads(text)
        _check_schema(data["graph_schema"])
        graph = _graph(data)
        return verify(graph)
    except GraphError:
        raise
    except Exception as error:  # a damaged file can raise any exception while being read
        raise GraphError(f"graph file: not a graph that cnncost wrote ({type(error).__name__}: {error})") from error


def _check_schema(schema: object) -> None:
    if schema != SCHEMA:
        older = isinstance(schema, int) and schema < SCHEMA
        writer = "an older cnncost, which described ops differently," if older else "a newer cnncost"
        raise GraphError(
            f"graph file: schema {schema}, this version reads {SCHEMA}; {writer} wrote the file: record the model again"
        )


def _graph(data: dict[str, Any]) -> Graph:
    specs = [OpSpec(kind, _types(ins), _types(outs), _attrs(attrs)) for kind, ins, outs, attrs in data["specs"]]
    return Graph(
        values=tuple(Value(i, _type(tensor_type), storage, role) for i, tensor_type, storage, role in data["values"]),
        nodes=tuple(
            Node(specs[_index(spec)], tuple(ins), tuple(outs), call, name, phase)
            for spec, ins, outs, call, name, phase in data["nodes"]
        ),
        scopes=tuple(
            Scope(path, cls, _owned(params), _owned(buffers), calls)
            for path, cls, params, buffers, calls in data["scopes"]
        ),
        calls=tuple(Call(s, p, i, tuple(ins), tuple(outs)) for s, p, i, ins, outs in data["calls"]),
        storages=tuple(Storage(*s) for s in data["storages"]),
        inputs=tuple(data["inputs"]),
        outputs=tuple(data["outputs"]),
        real=_real(data["real"]) if "real" in data else None,
        examples=data.get("examples"),
        notes=tuple(data.get("notes", ())),
        masks=tuple((node, Mask(*mask)) for node, mask in data.get("masks", ())),
        failed=_failed(data["failed"]) if "failed" in data else None,
        undeclared=tuple(data.get("undeclared", ())),
        placement=Placement(*map(tuple, data["placement"])) if "placement" in data else None,
        fused=tuple(map(_fused, data.get("fused", ()))),
    )


def _real(data: list[Any]) -> RealRun:
    inputs, nodes, *rest = data
    return RealRun(inputs, tuple(nodes), *rest)


def _fused(data: list[Any]) -> FusedNodes:
    first, last, kernel, sizes = data
    return FusedNodes(first, last, kernel, tuple((name, size) for name, size in sizes))


def _failed(data: list[Any]) -> Failure:
    call, calls = data
    return Failure(call, tuple(calls))


def _index(value: int) -> int:
    if type(value) is not int or value < 0:
        raise GraphError(f"graph file: a node's spec: expected an index from 0 up, got {value!r}")
    return value


def _types(data: list[Any]) -> tuple[TensorType, ...]:
    return tuple(_type(item) for item in data)


def _type(data: list[Any]) -> TensorType:
    shape, dtype, *stored = data
    if not stored:
        return TensorType(tuple(shape), dtype)
    ((elements, indices),) = stored
    return SparseType(tuple(shape), dtype, (int(elements), int(indices)))


def _with_stored(value: Any) -> Any:
    """Replace each sparse type in nested tuples with a list that includes `stored`.

    `json` would write a `SparseType` as a list of shape and dtype, without this attribute.
    """
    if isinstance(value, SparseType):
        return [value.shape, value.dtype, value.stored]
    return [_with_stored(item) for item in value] if isinstance(value, tuple) else value


def _attrs(data: list[Any]) -> tuple[tuple[str, Attr], ...]:
    return tuple((name, _frozen(value)) for name, value in data)


def _frozen(value: object) -> Attr:
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else cast("Attr", value)


def _owned(data: list[Any]) -> tuple[Owned, ...]:
    return tuple(Owned(name, value, trainable) for name, value, trainable in data)
