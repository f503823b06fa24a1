"""Compares nodes with the schemas of their ops: inputs, attributes and dtypes.

Runtimes refuse a file whose ops have attributes or dtypes that the file's opset does not allow, but other tools ignore
them. Here, such a file is analyzed, with a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from cnncost.frontends.onnx.lowering.registry import Op
from cnncost.near import suggestion

_TYPE_NAMES = {1: "a number", 2: "an integer", 3: "a text", 4: "a tensor", 5: "a graph", 6: "a list of numbers",
               7: "a list of integers", 8: "a list of texts"}  # fmt: skip
_ONNX_NAMES = {"float32": "float", "float64": "double"}
"""Names of dtypes in schemas, if they differ from NumPy's."""
_STANDS_FOR = {"int8": ("int8", "int4", "int2"), "uint8": ("uint8", "uint4", "uint2", "float4e2m1")}
"""Names in schemas of the dtypes that are represented by a dtype of one byte."""
_CHECKED = frozenset({
    "float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
    "uint64", "bool",
})  # fmt: skip

_TERM = rb"[A-Za-z]*(\.\.\.)?[A-Za-z]*"
_EQUATION = re.compile(rb"%b(,%b)*(->%b)?" % (_TERM, _TERM, _TERM))
"""An Einsum's equation without its spaces."""

MISFITS = (AssertionError, AttributeError, IndexError, TypeError, ValueError, ZeroDivisionError)
"""Exceptions that rules raise on nodes whose inputs or attributes are missing, or not those that the op allows."""


def missing_input(schema: Any, present: Sequence[bool]) -> str:
    """Describe the first input that an op requires but a node lacks; empty if there is none.

    Args:
        schema: the op's schema.
        present: whether each of the node's inputs has a name.
    """
    parameters = list(schema.inputs)
    if len(present) < schema.min_input:
        return f"{schema.name} needs {schema.min_input} inputs, but has {len(present)}"
    for i, there in enumerate(present if parameters else ()):
        parameter = parameters[min(i, len(parameters) - 1)]
        if not there and parameter.option != type(parameter.option).Optional:
            return f"{schema.name} needs its input {parameter.name}, whose name is empty"
    return ""


def wrong_attribute(schema: Any, node: Any) -> str:
    """Describe the first attribute whose value has the wrong type for the op; empty if there is none."""
    for attribute in node.attribute:
        known = schema.attributes.get(attribute.name)
        if known is not None and attribute.type != known.type.value:
            given, expected = (_TYPE_NAMES.get(i, "another value") for i in (attribute.type, known.type.value))
            return f"the attribute {attribute.name} is {given}, expected {expected}"
    return ""


def wrong_parts(node: Any) -> str:
    """Describe the first of these faults; empty if there is none.

    They are a node without outputs and, because onnx would crash or never end, a Split whose number of outputs
    contradicts an attribute, an Einsum whose equation is not one, and a GatherND of batch axes below zero.
    """
    if not node.output:
        return "it has no outputs"
    if node.op_type == "Einsum":
        equation = next((a.s for a in node.attribute if a.name == "equation"), b"")
        if not _EQUATION.fullmatch(equation.replace(b" ", b"")):
            return f"the equation is {equation.decode(errors='backslashreplace')!r}, expected one such as 'ij,jk->ik'"
    if node.op_type == "GatherND" and (wrong := [a.i for a in node.attribute if a.name == "batch_dims" and a.i < 0]):
        return f"batch_dims is {wrong[0]}"
    if node.op_type != "Split":
        return ""
    wanted = [a.i for a in node.attribute if a.name == "num_outputs"]
    wanted += [len(a.ints) for a in node.attribute if a.name == "split"]
    wrong = [number for number in wanted if number != len(node.output)]
    return f"Split into {wrong[0]} parts, of {len(node.output)} outputs" if wrong else ""


def deviations(schema: Any, node: Any, op: Op) -> Iterator[str]:
    """Yield notes on attributes that the op does not have, and on inputs whose dtype it does not accept."""
    for name in (attribute.name for attribute in node.attribute):
        if name not in schema.attributes:
            near = suggestion(name, schema.attributes).rstrip("?")
            yield f"{op.type}: opset {op.opset} has no attribute {name}{near}; runtimes refuse the file"
    parameters = list(schema.inputs)
    for i, tensor in enumerate(op.inputs if parameters else ()):
        if tensor is None or tensor.type is None or tensor.type.dtype not in _CHECKED:
            continue
        parameter, dtype = parameters[min(i, len(parameters) - 1)], tensor.type.dtype
        names = [f"tensor({name})" for name in _STANDS_FOR.get(dtype, (_ONNX_NAMES.get(dtype, dtype),))]
        # an optional tensor is represented by the tensor in it
        if not {*names, *(f"optional({name})" for name in names)} & set(parameter.types):
            yield f"{op.type}: opset {op.opset} takes no {dtype} as {parameter.name}; runtimes refuse the file"
