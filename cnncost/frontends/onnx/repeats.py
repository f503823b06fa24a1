"""Caches lowerings: an op with the attributes and input types of an earlier op gets nodes with the same specs.

An op is cached if it has a fast type rule and its lowering reads nothing else, such as a constant's values. Most ops
qualify.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from cnncost.frontends.onnx.lowering.registry import Op, Outputs, Ref, Tensor
from cnncost.frontends.onnx.protocols import Interpretation
from cnncost.graph import OpSpec


class CachedLowering(NamedTuple):
    """An op whose lowering read only its types and attributes.

    Attributes:
        op: the op, with the steps that it was lowered to.
        outputs: where its outputs come from.
        specs: the spec of each step's node.
    """

    op: Op
    outputs: Outputs
    specs: tuple[OpSpec, ...]


def signature_of(node: Any, inputs: Sequence[Tensor | None], opset: int | None) -> tuple[object, ...] | None:
    """Return the cache key of an op of the default domain; None if its lowering can't be reused.

    It can't if the op has several outputs, only constant inputs (it is folded), or an input that is left out, of
    unknown type, or deferred: a product may read its integers instead.
    """
    types, constant = [], True
    for tensor in inputs:
        if tensor is None or tensor.type is None or tensor.deferred is not None:
            return None
        types.append(tensor.type)
        constant = constant and tensor.constant is not None
    if constant or len(node.output) != 1:
        return None
    return (node.op_type, opset, tuple(attribute.SerializeToString() for attribute in node.attribute), *types)


def reuse(
    interpreter: Interpretation, node: Any, inputs: Sequence[Tensor | None], cached: CachedLowering, call: int
) -> list[Tensor]:
    """Append the nodes of a cached lowering with this node's inputs; returns its outputs."""
    results: list[tuple[int, ...]] = []
    for step, spec in zip(cached.op.steps, cached.specs, strict=True):
        operands = [
            results[i.step][i.output] if isinstance(i, Ref) else interpreter.value(inputs[i], node.op_type, "", i, call)
            for i in step.inputs
        ]
        results.append(interpreter.builder.add(f"onnx.{node.op_type}", spec, operands, call, step.alias))
    (output,) = cached.outputs  # `signature_of` admits only ops with a single output
    if isinstance(output, Ref):
        return [interpreter.tensor(results[output.step][output.output])]
    return [Tensor(None) if output is None else inputs[output] or Tensor(None)]
