"""Constant folding of small tensors, so that shapes computed from constants are known.

Only the ops that exporters use to compute shapes, as between `Shape` and `Reshape`, can be evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np

from cnncost.frontends.onnx.indexing import INDEXING
from cnncost.frontends.onnx.tensors import DTYPES, LARGEST_CONSTANT, Constant
from cnncost.tensor_types import TensorType

Attributes: TypeAlias = "Mapping[str, Any]"
Values: TypeAlias = "Sequence[Constant | None]"
Rule: TypeAlias = "Callable[[Attributes, list[Any]], Any]"
_RULES: dict[str, Rule] = dict(INDEXING)


def fold(op: str, attributes: Attributes, inputs: Values) -> list[Constant] | None:
    """Return the outputs of an op on constants; None if it has no rule, fails, or a result is too large."""
    rule = _RULES.get(op)
    if rule is None or not inputs or inputs[0] is None:
        return None
    try:
        with np.errstate(all="ignore"):
            result = rule(attributes, list(inputs))
    except (AttributeError, ValueError, IndexError, TypeError, KeyError, OverflowError, MemoryError):
        return None
    if result is None:
        return None
    outputs = [np.asarray(each) for each in result] if isinstance(result, list) else [np.asarray(result)]
    small = all(each.size <= LARGEST_CONSTANT and each.dtype.kind in "biufcV" for each in outputs)
    return outputs if small else None


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        _RULES.update(dict.fromkeys(names, function))
        return function

    return register


def _call(function: Callable[..., Any]) -> Rule:
    """Turn a function of the inputs alone into a rule."""
    return lambda _, inputs: function(*inputs)


def _divide(a: Any, b: Any) -> Any:
    """Divide. Integers are truncated toward zero, and give None if a divisor is zero."""
    if not np.issubdtype(a.dtype, np.integer):
        return a / b
    return (np.sign(a) * np.sign(b) * (abs(a) // abs(b))).astype(a.dtype) if np.all(b != 0) else None


_RULES.update({
    "Identity": _call(lambda x: x), "Add": _call(np.add), "Sub": _call(np.subtract), "Mul": _call(np.multiply),
    "Div": _call(_divide), "Neg": _call(np.negative), "Abs": _call(np.abs), "Floor": _call(np.floor),
    "Ceil": _call(np.ceil), "Sqrt": _call(np.sqrt), "Equal": _call(np.equal), "Greater": _call(np.greater),
    "Less": _call(np.less), "GreaterOrEqual": _call(np.greater_equal), "LessOrEqual": _call(np.less_equal),
    "Not": _call(np.logical_not), "And": _call(np.logical_and), "Or": _call(np.logical_or),
    "Where": _call(np.where), "Max": lambda _, inputs: np.stack(np.broadcast_arrays(*inputs)).max(0),
    "Min": lambda _, inputs: np.stack(np.broadcast_arrays(*inputs)).min(0),
    "Reciprocal": _call(lambda x: (1 / x).astype(x.dtype)), "Round": _call(np.round),
})  # fmt: skip


@_rule("Pow")
def _power(attributes: Attributes, inputs: list[Any]) -> Any:  # noqa: ARG001
    # NumPy raises for negative powers of integers
    return np.power(inputs[0].astype(float), inputs[1]).astype(inputs[0].dtype)


@_rule("Mod")
def _modulo(attributes: Attributes, inputs: list[Any]) -> Any:
    return np.fmod(*inputs) if attributes.get("fmod") else np.mod(*inputs)


@_rule("Cast")
def _cast(attributes: Attributes, inputs: list[Any]) -> Any:
    return inputs[0].astype(np.dtype(DTYPES[attributes["to"]]))


@_rule("CastLike")
def _cast_like(attributes: Attributes, inputs: list[Any]) -> Any:  # noqa: ARG001
    return inputs[0].astype(inputs[1].dtype)


@_rule("Concat")
def _concat(attributes: Attributes, inputs: list[Any]) -> Any:
    return np.concatenate(inputs, axis=attributes["axis"])


@_rule("Gather")
def _gather(attributes: Attributes, inputs: list[Any]) -> Any:
    return np.take(inputs[0], inputs[1], axis=attributes.get("axis", 0))


def axes_of(attributes: Attributes, inputs: Sequence[Any], at: int = 1) -> list[int] | None:
    """Return the axes, from the attribute or, in newer opsets, from input `at`; None if neither is given."""
    if "axes" in attributes:
        return [int(axis) for axis in attributes["axes"]]
    return inputs[at].reshape(-1).tolist() if len(inputs) > at and inputs[at] is not None else None


@_rule("Unsqueeze")
def _unsqueeze(attributes: Attributes, inputs: list[Any]) -> Any:
    axes = axes_of(attributes, inputs) or []
    rank = inputs[0].ndim + len(axes)
    return np.expand_dims(inputs[0], tuple(axis % rank for axis in axes))


@_rule("Squeeze")
def _squeeze(attributes: Attributes, inputs: list[Any]) -> Any:
    axes = axes_of(attributes, inputs)
    return np.squeeze(inputs[0], None if axes is None else tuple(axes))


@_rule("Reshape")
def _reshape(attributes: Attributes, inputs: list[Any]) -> Any:
    shape = inputs[1].tolist()
    if not attributes.get("allowzero"):
        shape = [inputs[0].shape[i] if n == 0 else n for i, n in enumerate(shape)]
    return inputs[0].reshape(shape)


@_rule("Flatten")
def _flatten(attributes: Attributes, inputs: list[Any]) -> Any:
    axis = attributes.get("axis", 1)
    return inputs[0].reshape(int(np.prod(inputs[0].shape[:axis])), -1)


@_rule("Transpose")
def _transpose(attributes: Attributes, inputs: list[Any]) -> Any:
    return np.transpose(inputs[0], attributes.get("perm"))


@_rule("Slice")
def _slice(attributes: Attributes, inputs: list[Any]) -> Any:
    if "starts" in attributes:
        starts, ends = attributes["starts"], attributes["ends"]
        axes, steps = attributes.get("axes", range(len(starts))), [1] * len(starts)
    else:
        starts, ends = inputs[1].tolist(), inputs[2].tolist()
        axes = inputs[3].tolist() if len(inputs) > 3 and inputs[3] is not None else range(len(starts))
        steps = inputs[4].tolist() if len(inputs) > 4 and inputs[4] is not None else [1] * len(starts)
    ranges = [slice(None)] * inputs[0].ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = inputs[0].shape[axis]
        first = max(start, -size) if step < 0 else start  # ONNX clamps the start to the first position, even backwards
        # to go backwards through the first position, ONNX has an end far below zero, and Python None
        ranges[axis] = slice(first, None if step < 0 and end < -size else end, step)
    return inputs[0][tuple(ranges)]


@_rule("Expand")
def _expand(attributes: Attributes, inputs: list[Any]) -> Any:  # noqa: ARG001
    shape = np.broadcast_shapes(inputs[0].shape, tuple(inputs[1].tolist()))
    return np.broadcast_to(inputs[0], shape) if np.prod(shape) <= LARGEST_CONSTANT else None


@_rule("Tile")
def _tile(attributes: Attributes, inputs: list[Any]) -> Any:  # noqa: ARG001
    small = inputs[0].size * np.prod(inputs[1].astype(float)) <= LARGEST_CONSTANT  # as float: integers could overflow
    return np.tile(inputs[0], inputs[1].tolist()) if small else None


@_rule("ConstantOfShape")
def _filled(attributes: Attributes, inputs: list[Any]) -> Any:
    value, shape = attributes.get("value"), tuple(inputs[0].tolist())
    if not 0 <= prod(shape) <= LARGEST_CONSTANT:
        return None
    return np.zeros(shape, np.float32) if value is None else np.full(shape, value.reshape(-1)[0], value.dtype)


@_rule("Range")
def _range(attributes: Attributes, inputs: list[Any]) -> Any:  # noqa: ARG001
    start, limit, step = (each.item() for each in inputs)
    small = step and (limit - start) / step <= LARGEST_CONSTANT
    return np.arange(start, limit, step, dtype=inputs[0].dtype) if small else None


def _reduction(function: Callable[..., Any]) -> Rule:
    def reduced(attributes: Attributes, inputs: list[Any]) -> Any:
        axes = axes_of(attributes, inputs)
        if not axes and attributes.get("noop_with_empty_axes"):
            return inputs[0]
        result = function(inputs[0], axis=tuple(axes) if axes else None, keepdims=bool(attributes.get("keepdims", 1)))
        return np.asarray(result).astype(inputs[0].dtype)

    return reduced


_RULES.update({
    "ReduceProd": _reduction(np.prod), "ReduceSum": _reduction(np.sum),
    "ReduceMax": _reduction(np.max), "ReduceMin": _reduction(np.min),
})  # fmt: skip


def split(attributes: Attributes, inputs: Values, parts: int) -> list[Constant] | None:
    """Return the `parts` outputs of Split on a constant; None if the input or sizes are unknown, or sizes don't fit."""
    x, axis = inputs[0] if inputs else None, attributes.get("axis", 0)
    if x is None or not -x.ndim <= axis < x.ndim or (len(inputs) > 1 and inputs[1] is None):
        return None
    sizes = attributes.get("split") or (inputs[1].tolist() if len(inputs) > 1 and inputs[1] is not None else None)
    if sizes is None:  # equal parts; the last one may be smaller
        size = -(-x.shape[axis] // max(parts, 1))
        sizes = [min(size, x.shape[axis] - i * size) for i in range(parts)]
    if len(sizes) != parts or sum(sizes) != x.shape[axis] or min(sizes, default=0) < 0:
        return None
    return list(np.split(x, np.cumsum(sizes)[:-1], axis))


def shape_constant(op: str, attributes: Attributes, kind: TensorType) -> Constant:
    """Return the output of Shape or Size for a tensor of this type."""
    if op == "Size":
        return np.asarray(kind.numel, np.int64)
    return np.asarray(kind.shape[attributes.get("start", 0) : attributes.get("end")], np.int64)
