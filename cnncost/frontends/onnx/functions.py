"""Inlines functions: those of the model, and those by which ONNX defines some of its ops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnncost.errors import SourceError
from cnncost.frontends.onnx.builder import Path
from cnncost.frontends.onnx.lowering.registry import Op, Tensor
from cnncost.frontends.onnx.protocols import Interpretation
from cnncost.frontends.onnx.structure import check_names

_PLACE = "place in the file: "
"""Prefix of the `doc_string` of tensors and lists of floats in a call's attributes; their place in the file follows."""


def inline_function(
    interpreter: Interpretation, body: Any, op: Op, path: Path, attributes: Mapping[str, Any]
) -> list[Tensor]:
    """Run a function's body as a module; returns its outputs.

    Raises:
        SourceError: the function calls itself, directly or through others, or defines a name twice.
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
    bound = [*op.inputs, *[None] * len(body.input)]  # trailing inputs that are left out are None, too
    nodes = _without_inputs(body.node, {name for name, t in zip(body.input, bound, strict=False) if t is None})
    inner |= {name: tensor for name, tensor in zip(body.input, bound, strict=False) if tensor is not None}
    versions = {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in body.opset_import}
    before, interpreter.inference.opsets = interpreter.inference.opsets, {**interpreter.inference.opsets, **versions}
    outside, interpreter.prefix = interpreter.prefix, f"{'::'.join(filter(None, key))}/"
    # the body has a namespace of its own: types that the enclosing graph declares are those of other tensors
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
    """Return a call's attributes by name; each tensor and list of floats notes its place in the file.

    `prefix` is unique to the graph that contains the call. A Constant node in the function's body that refers to such
    an attribute returns a tensor that belongs to the call, not to the function.
    """
    found = {}
    for attribute in node.attribute:
        if (attribute.HasField("t") or attribute.floats) and not place_of(_with_place(attribute)):
            copy = type(attribute)()
            copy.CopyFrom(attribute)
            _with_place(copy).doc_string = f"{_PLACE}{prefix}{','.join(node.output)}/{attribute.name}"
            attribute = copy  # noqa: PLW2901  # the file's own message is left unchanged
        found[attribute.name] = attribute
    return found


def _with_place(attribute: Any) -> Any:
    """Return the message whose `doc_string` holds the place: the tensor, or the attribute of a list of floats."""
    return attribute.t if attribute.HasField("t") else attribute


def place_of(proto: Any) -> str:
    """Return the place that `placed_tensors` noted in a tensor or a list of floats; empty if there is none."""
    text: str = proto.doc_string
    return text.removeprefix(_PLACE) if text.startswith(_PLACE) else ""


def tensor_of_floats(onnx: Any, attribute: Any) -> Any:
    """Return a list of floats as a float32 tensor that keeps its place."""
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
    """Inline the ops by which ONNX defines an op, as a module; None if it has no definition for these types."""
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
    """Return the default values in a schema by attribute name."""
    defaults = {}
    for name, attribute in schema.attributes.items():
        if attribute.default_value is not None and attribute.default_value.name:
            defaults[name] = attribute.default_value
    return defaults


def with_attributes(onnx: Any, node: Any, given: Mapping[str, Any] | None) -> Any:
    """Return the node with each reference to an attribute of the enclosing function replaced by the call's value.

    `given` holds these values by name; None outside functions. A reference to an attribute that it lacks is dropped.
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
