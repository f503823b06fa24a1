"""Inlines functions: those of the model, and ops that ONNX defines by other ops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnncost.errors import SourceError
from cnncost.frontends.onnx.builder import Path
from cnncost.frontends.onnx.lowering.registry import Op, Tensor
from cnncost.frontends.onnx.protocols import Interpretation
from cnncost.frontends.onnx.structure import check_names

_PLACE = "place in the file: "
"""Begins the `doc_string` of tensors, and of lists of floats, in a call's attributes; the place follows."""


def inline_function(
    interpreter: Interpretation, body: Any, op: Op, path: Path, attributes: Mapping[str, Any]
) -> list[Tensor]:
    """Run the body of a function as a module; returns its outputs.

    Raises:
        SourceError: the function calls itself, or defines a name twice.
    """
    key = (body.domain, body.name, getattr(body, "overload", ""))
    if key in interpreter.open_functions:
        raise SourceError(
            f"{interpreter.spec}: the function {body.domain}::{body.name} calls itself, which ONNX does not allow"
        )
    check_names(f"{interpreter.spec}: the function {body.domain}::{body.name}", body.input, (), body.node)
    attributes_by_name = {proto.name: proto for proto in body.attribute_proto}
    attributes_by_name.update(attributes)
    inner: dict[str, Tensor] = {"": Tensor(None)}
    bound = [*op.inputs, *[None] * len(body.input)]  # inputs left out at the end are None, too
    nodes = _without_inputs(body.node, {name for name, t in zip(body.input, bound, strict=False) if t is None})
    inner |= {name: tensor for name, tensor in zip(body.input, bound, strict=False) if tensor is not None}
    versions = {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in body.opset_import}
    before, interpreter.inference.opsets = interpreter.inference.opsets, {**interpreter.inference.opsets, **versions}
    outside, interpreter.prefix = interpreter.prefix, f"{'::'.join(filter(None, key))}/"
    # the body's names are its own: what the graph around it declares is about other tensors
    declared_outside, interpreter.declared_types = interpreter.declared_types, {}
    interpreter.open_functions.append(key)
    try:
        interpreter.run(nodes, inner, path, attributes_by_name)
    finally:
        interpreter.inference.opsets, interpreter.prefix = before, outside
        interpreter.declared_types = declared_outside
        interpreter.open_functions.pop()
    return [inner.get(name, Tensor(None)) for name in body.output]


def placed_tensors(node: Any, prefix: str) -> dict[str, Any]:
    """Return the attributes of a call by name; their tensors and lists of floats say where in the file they are.

    `prefix` makes names of the graph that the call is in unique. A Constant node in the function that refers to such an
    attribute is a tensor of the call, and not of the function.
    """
    found = {}
    for attribute in node.attribute:
        if (attribute.HasField("t") or attribute.floats) and not place_of(_with_place(attribute)):
            copy = type(attribute)()
            copy.CopyFrom(attribute)
            _with_place(copy).doc_string = f"{_PLACE}{prefix}{','.join(node.output)}/{attribute.name}"
            attribute = copy  # noqa: PLW2901  # the file's own message stays as it is
        found[attribute.name] = attribute
    return found


def _with_place(attribute: Any) -> Any:
    """Return the message whose `doc_string` has the place: the tensor, or the attribute if it is a list of floats."""
    return attribute.t if attribute.HasField("t") else attribute


def place_of(proto: Any) -> str:
    """Return the place of a tensor, or of a list of floats, as `placed_tensors` has noted it; else empty."""
    text: str = proto.doc_string
    return text.removeprefix(_PLACE) if text.startswith(_PLACE) else ""


def tensor_of_floats(onnx: Any, attribute: Any) -> Any:
    """Return a list of floats as a tensor, with its place."""
    floats = attribute.floats
    return onnx.TensorProto(dims=[len(floats)], data_type=1, float_data=floats, doc_string=attribute.doc_string)


def _without_inputs(nodes: Any, missing: set[str]) -> list[Any]:
    """Return the nodes with each missing input renamed to the empty string, which in ONNX means no input."""
    if not missing:
        return list(nodes)
    found = []
    for node in nodes:
        if not missing & set(node.input):
            found.append(node)
            continue
        copy = type(node)()
        copy.CopyFrom(node)
        copy.input[:] = ["" if name in missing else name for name in node.input]
        found.append(copy)
    return found


def inline_schema_function(
    interpreter: Interpretation, node: Any, op: Op, domain: str, path: Path
) -> list[Tensor] | None:
    """Run the ops by which ONNX defines an op, as a module; returns the outputs, or None without a definition."""
    schema = interpreter.inference.schema(node.op_type, domain)
    if schema is None:
        return None
    body = None
    if schema.has_function:
        body = schema.function_body
    elif schema.has_context_dependent_function:
        types = [interpreter.inference.proto(t).SerializeToString() if t is not None else b"" for t in op.inputs]
        try:
            text = schema.get_context_dependent_function(node.SerializeToString(), types)
        except Exception:  # noqa: BLE001  # the schema has no definition for these types
            return None
        body = interpreter.onnx.FunctionProto()
        body.ParseFromString(text)
    if body is None or not body.node:
        return None
    settings = _defaults(schema)
    settings |= {attribute.name: attribute for attribute in node.attribute}
    return inline_function(interpreter, body, op, (*path, (node.op_type, node.op_type)), settings)


def _defaults(schema: Any) -> dict[str, Any]:
    """Return the default values of a schema's attributes, by name."""
    defaults = {}
    for name, attribute in schema.attributes.items():
        if attribute.default_value is not None and attribute.default_value.name:
            defaults[name] = attribute.default_value
    return defaults


def with_attributes(onnx: Any, node: Any, given: Mapping[str, Any] | None) -> Any:
    """Return the node with references to attributes of the enclosing function replaced by the call's values.

    `given` are these values by name; None outside of functions.
    """
    if given is None or not _refers(node):
        return node
    resolved = onnx.NodeProto()
    resolved.CopyFrom(node)
    del resolved.attribute[:]
    for attribute in node.attribute:
        if not attribute.ref_attr_name:
            inner = resolved.attribute.add()
            inner.CopyFrom(attribute)
            for graph in (inner.g, *inner.graphs):  # branches and loops may refer to the call's attributes, too
                nodes = [with_attributes(onnx, each, given) for each in graph.node]
                del graph.node[:]
                graph.node.extend(nodes)
        elif attribute.ref_attr_name in given:
            bound = resolved.attribute.add()
            bound.CopyFrom(given[attribute.ref_attr_name])
            bound.name = attribute.name
    return resolved


def _refers(node: Any) -> bool:
    """Return True if a node, or a node in its subgraphs, refers to an attribute of the enclosing function."""
    return any(
        attribute.ref_attr_name
        or any(map(_refers, (each for g in (attribute.g, *attribute.graphs) for each in g.node)))
        for attribute in node.attribute
    )
