"""Caches lowerings: an op with the types and attributes of an earlier one gets the same nodes.

This holds for ops whose lowering reads nothing else, such as the values of a constant; most ops are of this kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from cnncost.frontends.onnx.lowering.registry import Made, Op, Ref, Tensor
from cnncost.graph import OpSpec


class Seen(NamedTuple):
    """An op whose lowering read only its types and attributes.

    Attributes:
        op: the op, with the steps that it was lowered to.
        made: where its outputs come from.
        specs: one for each step.
    """

    op: Op
    made: Made
    specs: tuple[OpSpec, ...]


def signature_of(node: Any, inputs: Sequence[Tensor | None], opset: int | None) -> tuple[object, ...] | None:
    """Return the cache key of an op of the default domain; None if its lowering can't be reused.

    None for ops with several outputs or only constant inputs, and if the type of an input is unknown or depends on how
    it is read.
    """
    types, constant = [], True
    for tensor in inputs:
        if tensor is None or tensor.type is None or tensor.later is not None:
            return None
        types.append(tensor.type)
        constant = constant and tensor.constant is not None
    if constant or len(node.output) != 1:
        return None
    return (node.op_type, opset, tuple(attribute.SerializeToString() for attribute in node.attribute), *types)


def repeated(run: Any, node: Any, inputs: Sequence[Tensor | None], seen: Seen, call: int) -> list[Tensor]:
    """Append the nodes of an earlier op with the same signature, on this node's inputs; returns the outputs."""
    results: list[tuple[int, ...]] = []
    for step, spec in zip(seen.op.steps, seen.specs, strict=True):
        read = [
            results[i.step][i.output] if isinstance(i, Ref) else run.value(inputs[i], node.op_type, "", i, call)
            for i in step.inputs
        ]
        results.append(run.builder.add(f"onnx.{node.op_type}", spec, read, call, step.alias))
    (made,) = seen.made
    if isinstance(made, Ref):
        return [run.tensor(results[made.step][made.output])]
    return [Tensor(None) if made is None else inputs[made] or Tensor(None)]
