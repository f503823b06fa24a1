"""Ops that are like an earlier one: of most, types and attributes alone decide what they are lowered to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from cnncost.frontends.onnx.lowering.registry import Made, Op, Ref, Tensor
from cnncost.graph import OpSpec


class Seen(NamedTuple):
    """An op that was lowered without a look at more than its types and attributes.

    Attributes:
        op: with its steps.
        made: its outputs.
        specs: one for each step.
    """

    op: Op
    made: Made
    specs: tuple[OpSpec, ...]


def signature_of(node: Any, inputs: Sequence[Tensor | None], opset: int | None) -> tuple[object, ...] | None:
    """What an op of the default domain is lowered by, if that can be its types and attributes alone; else None.

    None for ops with several outputs or on constants alone, and where the type of an input is not known, or depends
    on how it is read.
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
    """The outputs of a node with the signature of an earlier one: its steps again, on other inputs."""
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
