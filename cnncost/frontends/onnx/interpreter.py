"""Interprets the nodes of an ONNX file symbolically, in order, and records them as a Graph.

It tracks the types of all tensors and the values of small constants.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from cnncost.errors import SourceError
from cnncost.frontends.onnx import control, functions, guards, sequences
from cnncost.frontends.onnx.attributes import attribute_of
from cnncost.frontends.onnx.builder import Builder, Path, Weight
from cnncost.frontends.onnx.constants import shape_constant
from cnncost.frontends.onnx.contradictions import contradiction, input_contradiction
from cnncost.frontends.onnx.fast_types import RULES, fast_type
from cnncost.frontends.onnx.folding import EIGHT_BITS, fold_op
from cnncost.frontends.onnx.guards import attempt, conform, has_shape_rule, is_complete, typed
from cnncost.frontends.onnx.inference import Inference
from cnncost.frontends.onnx.lowering import lowering, weights
from cnncost.frontends.onnx.lowering.quantized import can_defer
from cnncost.frontends.onnx.lowering.registry import DeferredNode, Op, Outputs, Ref, Tensor
from cnncost.frontends.onnx.names import node_name, path_of
from cnncost.frontends.onnx.positions import NEUTRAL, SETTINGS, STATES, STATISTICS
from cnncost.frontends.onnx.repeats import CachedLowering, reuse, signature_of
from cnncost.frontends.onnx.tensors import PACKED, Constant, declared, is_zeros, type_of, type_of_constant, value_of
from cnncost.tensor_types import TensorType

Names = dict[str, Tensor]  # the tensors of a graph and of its enclosing graphs, by name
Signature: TypeAlias = "tuple[str, str, str]"  # a function's domain, name and overload
STRUCTURAL = control.OPS | sequences.OPS
_SHAPE_OPS = frozenset({"Shape", "Size"})


class Interpreter:
    """One pass over the nodes of one model."""

    def __init__(self, onnx: Any, spec: str, opsets: dict[str, int], functions: Mapping[Signature, Any]) -> None:
        self.onnx = onnx
        self.spec = spec
        self.builder = Builder()
        self.inference = Inference(onnx, opsets)
        self.functions = functions
        self.declared_types: dict[str, Any] = {}  # TypeProtos that the file declares for tensors, by name
        self.unshaped: list[str] = []  # outputs of unknown shape
        self.open_functions: list[Signature] = []  # functions whose bodies are being run, outermost first
        self.repetitions = 1  # how often the enclosing loops run the current graph in all
        self.prefix = ""  # makes names of weights unique: functions and subgraphs have their own namespaces
        self._weights: dict[str, int] = {}  # value ids of stored tensors that an op has read, by name
        self._settings: set[str] = set()  # names of stored tensors that are read as settings, not as weights
        self._lowered: dict[Any, CachedLowering] = {}
        self._constants: set[str] = set()  # names of weights from Constant nodes
        self._zeros: dict[str, bool] = {}  # all-zero weights by name, and whether each comes from a Constant node

    # ---- graphs

    def run(self, nodes: Iterable[Any], names: Names, path: Path = (), given: Mapping[str, Any] | None = None) -> None:
        """Record nodes in order; in a function's body, `given` holds the attributes of the call."""
        for node in nodes:
            for name in node.input:
                if name and name not in names:
                    raise SourceError(
                        f"{self.spec}: node {node.name or node.op_type} reads {name!r}, which no earlier node returns; "
                        "expected nodes in topological order, without cycles"
                    )
            self._node(functions.with_attributes(self.onnx, node, given), names, path)

    def _node(self, node: Any, names: Names, outer: Path) -> None:
        domain = "" if node.domain == "ai.onnx" else node.domain
        inputs = [names[name] if name else None for name in node.input]
        while inputs and inputs[-1] is None:
            inputs.pop()
        signature = None if domain else signature_of(node, inputs, self.inference.opsets.get(""))
        cached = self._lowered.get(signature)
        if cached is not None:
            call = self.builder.call((*outer, *_path_of(node)))
            outputs = reuse(self, node, inputs, cached, call)
        else:
            attributes = {attribute.name: attribute_of(attribute) for attribute in node.attribute}
            op = Op(node.op_type, self.inference.opsets.get(domain, 1), attributes, inputs, [])
            folded = self._folded(node, domain, op)
            outputs = self._record(node, domain, op, names, outer, signature) if folded is None else folded
        missing = [Tensor(None)] * (len(node.output) - len(outputs))
        names |= {name: tensor for name, tensor in zip(node.output, [*outputs, *missing], strict=False) if name}

    def _folded(self, node: Any, domain: str, op: Op) -> list[Tensor] | None:
        """Return the outputs of an op that becomes no node (Constant, Shape, Size, ops on constants, …); else None."""
        if domain:
            return None
        guards.conform_folded(self, node, op)
        if node.op_type == "Constant":
            return [self._constant_node(node, op)]
        if node.op_type == "Identity" and op.inputs and op.inputs[0] is not None and op.inputs[0].value is None:
            return [op.inputs[0]] if op.inputs[0].type is not None or op.inputs[0].parts is not None else None
        if node.op_type in _SHAPE_OPS and op.inputs and op.inputs[0] is not None and op.inputs[0].type is not None:
            found = attempt(self, node, shape_constant, node.op_type, op.attributes, op.inputs[0].type)
            return None if found is None else [self.constant(found)]
        if control.has_subgraphs(op.attributes) or not all(t is None or t.constant is not None for t in op.inputs):
            return None
        folded = fold_op(op, len(node.output))
        if folded is None:
            return None
        self._settings.update(folded.settings)
        return folded.outputs

    def _constant_node(self, node: Any, op: Op) -> Tensor:
        name = node.output[0]
        for key, dtype in (("value_int", "int64"), ("value_ints", "int64"), ("value_float", "float32")):
            if key in op.attributes:
                return self.constant(np.asarray(op.attributes[key], dtype))
        proto = guards.constant_tensor(self, node)
        if proto is None:
            return Tensor(None)
        tensor = self.stored(name, proto, functions.place_of(proto) or f"{self.prefix}{name}")
        self._constants.add(tensor.weight)
        if tensor.weight in self._zeros:
            self._zeros[tensor.weight] = True
        return tensor

    # ---- ops

    def _record(self, node: Any, domain: str, op: Op, names: Names, outer: Path, signature: Any) -> list[Tensor]:
        path = (*outer, *_path_of(node))
        if not domain and node.op_type in STRUCTURAL:
            conform(self, node, domain, op)
            if node.op_type in control.OPS:
                return control.lower_control_op(self, node, op, names, path)
            of_sequence = attempt(self, node, sequences.lower_sequence_op, self, node, op, names, path)
            if of_sequence is not None:
                return of_sequence
        body = self.functions.get((node.domain, node.op_type, getattr(node, "overload", "")))
        if body is not None:
            found = functions.inline_function(self, body, op, path, functions.placed_tensors(node, self.prefix))
            return typed(self, node, op, found, [self._inferred_or_declared(name, None) for name in node.output], path)
        for i in () if domain else SETTINGS.get(node.op_type, ()):
            self._settings.update(
                each.weight
                for tensor in op.inputs[i : i + 1]
                if tensor is not None
                for each in (tensor, *tensor.origins)
            )
        types = self._types(node, domain, op)
        known_types = [t if isinstance(t, TensorType) else None for t in types]
        named = [bool(name) for name in node.output]
        inputs_known = all(t is None or t.type is not None for t in op.inputs)
        complete = inputs_known and all(t is not None or not name for t, name in zip(known_types, named, strict=True))
        op.outputs = [t if name else None for t, name in zip(known_types, named, strict=True)]
        check = contradiction if complete else input_contradiction
        if inputs_known and (message := attempt(self, node, check, domain, op)):
            raise SourceError(
                f"{self.spec}: node {node.name or node.op_type}: {message}; expected sizes that fit: "
                "the file is damaged, or the given input sizes don't fit those that it was exported for"
            )
        rule = lowering(domain, node.op_type) if complete and has_shape_rule(self, node, domain, op) else None
        results = None if rule is None else attempt(self, node, rule, op)
        if results is not None and not is_complete(op, results):
            results = None
        call = self.builder.call(path)
        if results is not None and results[0] is not None and can_defer(op):
            return [Tensor(op.y(), deferred=DeferredNode(node_name(domain, node.op_type), tuple(op.inputs), call))]
        if results is None and complete:
            expanded = functions.inline_schema_function(self, node, op, domain, path)
            if expanded is not None:
                return typed(self, node, op, expanded, known_types, path)
        if results is None:
            return self.unknown(node, domain, op, types, call)
        for text in op.notes:
            self.builder.note(text)
        first_node = len(self.builder.nodes)
        outputs = self._append_nodes(node, domain, op, results, call)
        if signature is not None and not op.reads_values and op.type in RULES:
            self._lowered[signature] = CachedLowering(
                op, results, tuple(each.spec for each in self.builder.nodes[first_node:])
            )
        return outputs

    def _types(self, node: Any, domain: str, op: Op) -> list[Any]:
        """Return a TensorType, else a TypeProto or None, for each output.

        Raises SourceError if a required input is missing, or an attribute's value has the wrong type.
        """
        if not domain and len(node.output) == 1 and (known := fast_type(op)) is not None:
            return [known]
        conform(self, node, domain, op)
        inferred = self.inference.types(node, op, domain)
        return [self._inferred_or_declared(name, each) for name, each in zip(node.output, inferred, strict=True)]

    def _inferred_or_declared(self, name: str, inferred: Any) -> Any:
        """Return the inferred type; if it is incomplete, the type that the file declares, if any."""
        if isinstance(inferred, TensorType) or name not in self.declared_types:
            return inferred
        return type_of(self.declared_types[name]) or inferred or self.declared_types[name]

    def _append_nodes(self, node: Any, domain: str, op: Op, sources: Outputs, call: int) -> list[Tensor]:
        """Append one node per step of a lowered op; returns the op's outputs, which come from `sources`."""
        results: list[tuple[int, ...]] = []
        name = node_name(domain, node.op_type)

        def value(source: Any) -> int:
            if isinstance(source, Ref):
                return results[source.step][source.output]
            return self.value(op.inputs[source], node.op_type, domain, source, call)

        for kind, attrs, inputs, outputs, alias in op.steps:
            results.append(self.builder.node(name, kind, attrs, [value(i) for i in inputs], outputs, call, alias))
        found = []
        for source in sources:
            if source is None:
                found.append(Tensor(None))
            elif isinstance(source, Ref):
                found.append(self.tensor(value(source)))
            else:
                found.append(op.inputs[source] or Tensor(None))
        return found

    def unknown(self, node: Any, domain: str, op: Op, types: list[Any], call: int) -> list[Tensor]:
        """Record an op of unknown cost, which makes the totals lower bounds; returns its outputs."""
        control.register_skipped_weights(self, op, call)
        inputs = [
            self.value(tensor, node.op_type, domain, i, call)
            for i, tensor in enumerate(op.inputs) if tensor is not None and tensor.type is not None
        ]  # fmt: skip
        self.builder.promote_matrices(inputs)
        outputs_known = [t for t, name in zip(types, node.output, strict=True) if isinstance(t, TensorType) and name]
        kind = f"{domain or 'onnx'}::{node.op_type}"
        ids = iter(self.builder.node(node_name(domain, node.op_type), kind, {}, inputs, outputs_known, call))
        outputs = []
        for name, each in zip(node.output, types, strict=True):
            if isinstance(each, TensorType) and name:
                outputs.append(self.tensor(next(ids)))
            else:
                outputs.append(Tensor(None, proto=each))
                if name:
                    self.unshaped.append(name)
        return outputs

    # ---- tensors

    def tensor(self, value: int) -> Tensor:
        """Return the Tensor for a value id."""
        return Tensor(self.builder.values[value].type, value)

    def constant(self, value: Constant) -> Tensor:
        """Return a constant; it gets a value id when an op first reads it."""
        return Tensor(type_of_constant(value), constant=value)

    def stored(self, name: str, proto: Any, weight: str = "") -> Tensor:
        """Return an initializer or Constant as a Tensor, with its values if they are few; `weight`: its unique name."""
        tensor_type = declared(proto)
        if tensor_type is None:
            wrong = "a size below zero" if min(proto.dims, default=0) < 0 else "a dtype without a size"
            self.builder.note(f"{name}: {wrong}; ops that read it are unknown")
            return Tensor(None)
        packed = proto.data_type in PACKED
        self.inference.packed |= packed
        value = value_of(proto)
        if tensor_type.floating and is_zeros(proto, value):
            self._zeros[weight or name] = False
        return Tensor(tensor_type, constant=value, weight=weight or name, packed=packed)

    def value(self, tensor: Any, op: str = "", domain: str = "", at: int = 0, call: int = 0) -> int:
        """Return the value id of an op's input `at`, whose first reader makes it a parameter, buffer or constant.

        Without `op`, the tensor is an output of the graph: a floating-point weight that no op has read is a parameter.
        """
        if tensor.value is not None:
            if tensor.value in self.builder.carried and at in weights(domain, op):
                self.builder.promote(tensor.value)
            return tensor.value  # type: ignore[no-any-return]
        if tensor.deferred is not None:
            return self._dequantized(tensor.deferred, tensor.type)
        if tensor.weight and tensor.weight in self._weights:
            return self._weights[tensor.weight]
        buffer = at in STATISTICS.get(op, ()) and not domain
        setting = at in SETTINGS.get(op, ()) and not domain
        weight = at in weights(domain, op)
        owned = (
            bool(tensor.weight)
            and not self._is_neutral(tensor, op, at)
            and (
                buffer
                or weight
                or (
                    tensor.type.floating
                    and tensor.type.numel > 1
                    and not setting
                    and not self._is_zero_state(tensor, op, at)
                )
            )
        )
        role: Any = "buffer" if buffer and owned else "parameter" if owned else "constant"
        for origin in tensor.origins:
            # a single-element origin among several is a factor, such as a scale
            if (weight or origin.type.floating) and (origin.type.numel > 1 or len(tensor.origins) == 1):
                self.value(origin, op, domain, at, call)
        value_id = self.builder.source(tensor.type, role)
        if tensor.weight:
            self._weights[tensor.weight] = value_id
        if tensor.weight and not owned and tensor.type.dtype in EIGHT_BITS and tensor.type.numel > 1:
            self.builder.carried[value_id] = (Weight(value_id, tensor.weight, call, buffer=False),)
        if owned:
            self.builder.weights.append(Weight(value_id, tensor.weight, call, buffer))
            if not (buffer or weight):
                self.builder.undeclared.append(value_id)
        return value_id

    def _dequantized(self, deferred: DeferredNode, output: TensorType) -> int:
        """Append the deferred DequantizeLinear unless an earlier reader has; returns its output's value id."""
        if deferred.value is None:
            inputs = [
                self.value(each, "DequantizeLinear", "", i, deferred.call)
                for i, each in enumerate(deferred.inputs) if each is not None
            ]  # fmt: skip
            (deferred.value,) = self.builder.node(
                deferred.name, "quantize", {"fn": "dequantize"}, inputs, [output], deferred.call
            )
        return deferred.value

    def _is_neutral(self, tensor: Tensor, op: str, at: int) -> bool:
        """Return True for a scale or shift that comes from a Constant node and has no effect."""
        if at not in NEUTRAL.get(op, ()) or tensor.weight not in self._constants or tensor.constant is None:
            return False
        return bool((tensor.constant == NEUTRAL[op][at]).all())

    def _is_zero_state(self, tensor: Tensor, op: str, at: int) -> bool:
        """Return True for all-zero weights that aren't trained: from a Constant node, or read as an initial state."""
        from_node = self._zeros.get(tensor.weight)
        return from_node is not None and (from_node or at in STATES.get(op, ()))

    def register_unused(self, protos: Iterable[Any], place: str = "", call: int = 0) -> None:
        """Register unread floating-point initializers as parameters: the file stores them all the same."""
        for proto in protos:
            name, tensor_type = f"{place}{proto.name}", declared(proto)
            if tensor_type is None or not tensor_type.floating or tensor_type.numel < 2:
                continue
            if name in self._weights or name in self._settings:
                continue
            value_id = self._weights[name] = self.builder.source(tensor_type, "parameter")
            self.builder.weights.append(Weight(value_id, name, call, buffer=False))


def _path_of(node: Any) -> Path:
    return path_of(node.name, node.op_type, {p.key: p.value for p in node.metadata_props})
