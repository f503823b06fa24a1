"""The ONNX front end: turns a file into a Graph using the package onnx, without torch, data or a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from cnncost.errors import SourceError
from cnncost.frontends.onnx.bindings import bind_inputs, dims_of, open_axes
from cnncost.frontends.onnx.guards import note_sparse
from cnncost.frontends.onnx.interpreter import Interpreter
from cnncost.frontends.onnx.lowering.registry import Tensor
from cnncost.frontends.onnx.reader import import_onnx, opsets, read
from cnncost.frontends.onnx.structure import check_names
from cnncost.frontends.onnx.tensors import PACKED, initializers, number, type_of
from cnncost.graph import Graph
from cnncost.shapes import TensorText
from cnncost.tensor_types import TensorType

__all__ = ["example", "graph_of", "input_types", "open_axes", "read", "shapes_of"]


def graph_of(spec: str, model: Any, inputs: Any = None, sizes: Mapping[str, Any] | None = None) -> Graph:
    """Return the Graph of an ONNX model.

    Args:
        spec: the file's name, for messages.
        model: a ModelProto, as returned by `read`.
        inputs: shapes for inputs with open axes (axes without a fixed size), by name or in order; None: those in the
            file. For an input that is one integer, give its value instead of a shape; whatever depends on the value,
            such as which branch runs, is then known.
        sizes: sizes of open axes by name.

    Raises:
        InputError: an axis is left open, an input or axis does not exist, or a shape contradicts the file.
        SourceError: the file is damaged: its graph is out of order or has a cycle, for example.
    """
    graph = model.graph
    stored = [proto.name for proto in initializers(graph)]
    check_names(spec, [each.name for each in graph.input], stored, graph.node)
    declared = input_types(model)
    types, given_values = bind_inputs(declared, inputs, sizes or {})
    functions = {(f.domain, f.name, getattr(f, "overload", "")): f for f in model.functions}
    interpreter = Interpreter(import_onnx(spec), spec, opsets(model), functions)
    if twice := sorted(name for name, count in Counter(stored).items() if count > 1):
        interpreter.builder.note(f"{', '.join(twice)}: stored more than once; only the last one is counted")
    names: dict[str, Tensor] = {}
    values = []
    for name, kind in types.items():
        if kind is None:
            names[name] = Tensor(None)
            continue
        interpreter.inference.packed |= declared[name].tensor_type.elem_type in PACKED
        if _declares_no_elements(declared[name], kind):
            shape = "×".join(map(str, kind.shape))
            interpreter.builder.note(
                f"{name}: the file declares {shape}, an input without elements; give its shape, {name}=…, if the axis "
                "is meant to be open"
            )
        values.append(interpreter.builder.source(kind, "input"))
        names[name] = interpreter.tensor(values[-1])
        if name in given_values:
            interpreter.builder.note(f"{name} is given as {given_values[name]}: the figures hold for this value")
            names[name] = names[name]._replace(constant=number(given_values[name], kind))
    same = _same_data(graph.initializer)
    for proto in initializers(graph):
        first = same.get(proto.name)
        names[proto.name] = interpreter.stored(proto.name, proto) if first is None else names[first]
    note_sparse(interpreter, graph.sparse_initializer)
    interpreter.declared_types = {info.name: info.type for info in (*graph.value_info, *graph.output)}
    interpreter.run(graph.node, names)
    outputs = _outputs(spec, interpreter, graph, names)
    interpreter.register_unused(proto for proto in initializers(graph) if proto.name not in same)
    if interpreter.inference.packed:
        interpreter.builder.note("elements of less than a byte are counted as one byte each")
    _note_unshaped(interpreter)
    return interpreter.builder.graph(values, outputs)


def example(model: Any, graph: Graph) -> dict[str, Any]:
    """Return zeros in the shapes of a Graph's inputs, by their names in the model, for tools that take arrays."""
    import numpy as np

    tensors = [name for name, proto in input_types(model).items() if proto.HasField("tensor_type")]
    types = [graph.values[i].type for i in graph.inputs]
    return {name: np.zeros(kind.shape, kind.dtype) for name, kind in zip(tensors, types, strict=True)}


def shapes_of(model: Any, inputs: Any, sizes: Mapping[str, Any], default_sizes: Mapping[str, int]) -> dict[str, Any]:
    """Return all inputs by name, in the form that `graph_of` takes: shapes, and values for given integers.

    Args:
        model: as for `graph_of`.
        inputs: as for `graph_of`.
        sizes: as for `graph_of`.
        default_sizes: sizes of open axes that neither `inputs` nor `sizes` determines.

    Raises:
        InputError: as `graph_of` does.
    """
    types, values = bind_inputs(input_types(model), inputs, sizes, default_sizes)
    return {
        name: values.get(name, TensorText(kind.shape, kind.dtype)) for name, kind in types.items() if kind is not None
    }


def input_types(model: Any) -> dict[str, Any]:
    """Return the TypeProtos of the inputs by name, without initializers, which older files also list as inputs."""
    stored = {proto.name for proto in initializers(model.graph)}
    return {value.name: value.type for value in model.graph.input if value.name not in stored}


def _outputs(spec: str, interpreter: Interpreter, graph: Any, names: Mapping[str, Tensor]) -> list[int]:
    """Return the value ids of the Graph's outputs, and note differences from the declared shapes."""
    values = []
    for output in graph.output:
        tensor = names.get(output.name)
        if tensor is None:
            raise SourceError(f"{spec}: no node computes the output {output.name!r}; the file is damaged")
        declared = type_of(output.type)
        values += [interpreter.value(part) for part in tensor.parts or () if part.type is not None]
        if tensor.type is None:
            continue
        if declared is not None and declared.shape != tensor.type.shape:
            interpreter.builder.note(
                f"{output.name}: the file declares {'×'.join(map(str, declared.shape))}, its ops return "
                f"{'×'.join(map(str, tensor.type.shape))}"
            )
        values.append(interpreter.value(tensor))
    return values


def _declares_no_elements(proto: Any, kind: TensorType) -> bool:
    """Return True if a float input of several axes is used with an axis of size 0 that the file declares.

    Other inputs, such as lists of axes, may well be empty.
    """
    several = kind.floating and len(kind.shape) > 1
    return several and any(
        size == 0 and dim.HasField("dim_value") for size, dim in zip(kind.shape, dims_of(proto), strict=False)
    )


def _same_data(stored: Iterable[Any]) -> dict[str, str]:
    """Return the name of each tensor that shares its external data and type with an earlier one → the earlier name."""
    first: dict[tuple[object, ...], str] = {}
    same = {}
    for proto in stored:
        if proto.data_location != proto.EXTERNAL or not proto.external_data:  # a damaged file may lack the location
            continue
        place = tuple(sorted((entry.key, entry.value) for entry in proto.external_data))
        name = first.setdefault((place, proto.data_type, tuple(proto.dims)), proto.name)
        if name != proto.name:
            same[proto.name] = name
    return same


def _note_unshaped(interpreter: Interpreter) -> None:
    if interpreter.unshaped:
        several = f", and {len(interpreter.unshaped) - 1} more" if len(interpreter.unshaped) > 1 else ""
        interpreter.builder.note(
            f"no shape is known for {interpreter.unshaped[0]}{several}: ops that write or read such tensors are "
            "unknown, and totals are lower bounds"
        )
