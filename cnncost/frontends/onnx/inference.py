"""Infers an op's output types, by a registered shape rule or by the shape inference of the onnx package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnncost.frontends.onnx.conformity import MISFITS, deviations, missing_input, wrong_attribute, wrong_parts
from cnncost.frontends.onnx.lowering.registry import Op, Tensor, shaper
from cnncost.frontends.onnx.tensors import NUMBERS, PACKED, Constant, proto_of, type_of
from cnncost.tensor_types import TensorType

_IR_VERSION = 10  # that of onnx 1.17, the oldest supported release
_POOLS = frozenset({"MaxPool", "AveragePool", "LpPool"})
_MAX_FACTORS = 16
"""Largest number of elements of a floating-point constant that an output shape may depend on (a Resize's scales)."""
_FIXED_CEIL_MODE = 22
"""Since this opset, inference with `ceil_mode` drops windows that start beyond the input, as runtimes always do."""


class Inference:
    """Infers output types. Results are cached by op type, attributes and input types."""

    def __init__(self, onnx: Any, opsets: dict[str, int]) -> None:
        self._onnx = onnx
        self._cache: dict[tuple[object, ...], list[Any]] = {}
        self._missing_inputs: dict[tuple[object, ...], str] = {}
        self._faults: dict[tuple[object, ...], tuple[str, tuple[str, ...]]] = {}
        self._protos: dict[TensorType, Any] = {}
        self.opsets = opsets
        self.packed = False  # whether any tensor has elements smaller than a byte

    def types(self, node: Any, op: Op, domain: str) -> list[Any]:
        """Return one entry per output: its TensorType; else the TypeProto inferred for it, if any; else None."""
        rule = shaper(domain, op.type)
        if rule is not None:
            if any(tensor is not None and tensor.type is None for tensor in op.inputs):
                return [None] * len(node.output)
            try:
                result = rule(op)
            except MISFITS:  # the inputs or attributes don't fit the op
                return [None] * len(node.output)
            if result is not None or domain:
                sizes = [n for kind in result or () if kind is not None for n in kind.shape]
                return _pad([] if min(sizes, default=0) < 0 else result or [], len(node.output))
        key = self._key(node, op, domain)
        if key not in self._cache:
            self._cache[key] = self._infer(node, op.inputs, domain)
        return self._cache[key]

    def schema(self, op: str, domain: str, ceil: bool = False) -> Any:
        """Return the op's schema in the model's opset, or None.

        With `ceil`, a pool gets its schema of opset 22 or later, whose inference handles `ceil_mode` correctly.
        """
        try:
            version = self.opsets.get(domain, self._onnx.defs.onnx_opset_version() if not domain else 1)
            if not domain and op in _POOLS and ceil:
                version = max(version, _FIXED_CEIL_MODE)
            return self._onnx.defs.get_schema(op, version, domain)
        except Exception:  # noqa: BLE001  # the package raises an error type of its own C++ module
            return None

    def missing_input(self, node: Any, domain: str) -> str:
        """Describe the first required input that is missing or has an empty name; empty if there is none."""
        present = tuple(bool(name) for name in node.input)
        key = (node.op_type, domain, self.opsets.get(domain), present)
        if key not in self._missing_inputs:
            schema = self.schema(node.op_type, domain)
            self._missing_inputs[key] = "" if schema is None else missing_input(schema, present)
        return self._missing_inputs[key]

    def faults(self, node: Any, op: Op, domain: str) -> tuple[str, tuple[str, ...]]:
        """Compare a node with its op's schema; returns an error message (empty if there is none) and notes."""
        key = (
            op.type, domain, op.opset, tuple((a.name, a.type) for a in node.attribute),
            tuple(None if t is None or t.type is None else t.type.dtype for t in op.inputs),
        )  # fmt: skip
        if wrong := wrong_parts(node) if not domain else "":
            return wrong, ()
        if key not in self._faults:
            schema = self.schema(op.type, domain)
            self._faults[key] = ("", ()) if schema is None else (
                wrong_attribute(schema, node), tuple(deviations(schema, node, op))
            )  # fmt: skip
        return self._faults[key]

    def proto(self, tensor: Tensor) -> Any:
        """Return the tensor's type as a TypeProto, or None if it is unknown."""
        if tensor.type is None:
            return tensor.proto
        if tensor.type not in self._protos:
            self._protos[tensor.type] = self._onnx.helper.make_tensor_type_proto(
                NUMBERS[tensor.type.dtype], tensor.type.shape
            )
        return self._protos[tensor.type]

    def _key(self, node: Any, op: Op, domain: str) -> tuple[object, ...]:
        parts: list[object] = [op.type, domain, op.opset, tuple(bool(name) for name in node.output)]
        parts += [attribute.SerializeToString() for attribute in node.attribute]
        for tensor in op.inputs:
            if tensor is None:
                parts.append(None)
                continue
            constant = _shape_constant(tensor)
            kind = tensor.type or (tensor.proto.SerializeToString() if tensor.proto is not None else None)
            parts.append((kind, None if constant is None else constant.tobytes()))
        return tuple(parts)

    def _infer(self, node: Any, inputs: Sequence[Tensor | None], domain: str) -> list[Any]:
        ceil = any(attribute.name == "ceil_mode" and attribute.i for attribute in node.attribute)
        schema = self.schema(node.op_type, domain, ceil)
        if schema is None:
            return [None] * len(node.output)
        local = self._onnx.NodeProto()
        local.CopyFrom(node)
        del local.input[:], local.output[:]
        local.input.extend("" if tensor is None else f"i{i}" for i, tensor in enumerate(inputs))
        local.output.extend(f"o{i}" if name else "" for i, name in enumerate(node.output))
        types, data = {}, {}
        for i, tensor in enumerate(inputs):
            if tensor is None:
                continue
            proto = self.proto(tensor)
            if proto is not None:
                types[f"i{i}"] = proto
            constant = _shape_constant(tensor)
            if constant is not None:
                data[f"i{i}"] = proto_of(constant)
        opsets = [self._onnx.helper.make_opsetid(name, version) for name, version in self.opsets.items()]
        try:
            by_name = self._onnx.shape_inference.infer_node_outputs(
                schema, local, types, data, opset_imports=opsets, ir_version=_IR_VERSION
            )
        except Exception:  # noqa: BLE001  # inference fails in many ways; the op is then recorded as unknown
            return [None] * len(node.output)
        protos = [by_name.get(f"o{i}") for i in range(len(node.output))]
        self.packed |= any(proto is not None and proto.tensor_type.elem_type in PACKED for proto in protos)
        return [None if proto is None else type_of(proto) or proto for proto in protos]


def _shape_constant(tensor: Tensor) -> Constant | None:
    """Return a constant's values if the output shape may depend on them (integers, booleans, few floats); else None."""
    value = tensor.constant
    return value if value is None or value.dtype.kind in "iub" or value.size <= _MAX_FACTORS else None


def _pad(found: list[Any], count: int) -> list[Any]:
    """Return the first `count` entries, padded with None."""
    return (found + [None] * count)[:count]
