"""Constant folding: evaluates an op whose inputs are all small constants, and tracks which stored tensors it read."""

from __future__ import annotations

from typing import NamedTuple

from cnncost.frontends.onnx.constants import fold, split
from cnncost.frontends.onnx.lowering.registry import Op, Tensor
from cnncost.frontends.onnx.tensors import type_of_constant

EIGHT_BITS = frozenset({"int8", "uint8"})
"""Dtypes of quantized weights, which may be moved, cast or scaled before an op reads them as weights."""
_SETTING_DTYPES = frozenset({"int32", "int64", "bool"})
"""Dtypes of sizes, indices and conditions."""


class Folded(NamedTuple):
    """The outputs of an op on constants.

    Attributes:
        outputs: each with the stored tensors that it was computed from, as `origins`.
        settings: names of stored tensors that sizes or conditions were computed from; being read this way does not make
            a tensor a parameter.
    """

    outputs: list[Tensor]
    settings: frozenset[str]


def fold_op(op: Op, count: int) -> Folded | None:
    """Evaluate an op with `count` outputs whose inputs all have known values; None if no rule evaluates it."""
    constants = [None if t is None else t.constant for t in op.inputs]
    values = split(op.attributes, constants, count) if op.type == "Split" else fold(op.type, op.attributes, constants)
    if values is None:
        return None
    stored = [t for tensor in op.inputs if tensor is not None for t in (tensor, *tensor.origins) if t.weight]
    origins = tuple(t for t in stored if t.type is not None and (t.type.floating or t.type.dtype in EIGHT_BITS))
    settings: frozenset[str] = frozenset()
    from_floats = constants[0] is not None and constants[0].dtype.kind == "f"
    if from_floats and all(value.dtype.name in _SETTING_DTYPES for value in values):
        settings, origins = frozenset(each.weight for each in origins), ()
    return Folded([Tensor(type_of_constant(value), constant=value, origins=origins) for value in values], settings)
