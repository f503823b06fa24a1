"""Fast rules for the output types of the most frequent ops.

A rule returns None for unusual settings; the onnx package then infers the type. For a small file, that inference, and
building the package's schemas before its first call, would take most of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import TypeAlias

from cnncost.frontends.onnx.lowering.registry import Op
from cnncost.frontends.onnx.tensors import DTYPES, type_of_constant
from cnncost.tensor_types import Shape, TensorType

Rule: TypeAlias = "Callable[[Op, list[TensorType]], TensorType | None]"
RULES: dict[str, Rule] = {}
"""Rules by op type; they read only types, attributes and constants."""


def fast_type(op: Op) -> TensorType | None:
    """Return the type of the op's single output; None if no rule covers the op, its settings or its inputs."""
    rule = RULES.get(op.type)
    if rule is None:
        return None
    kinds = []
    for tensor in op.inputs:
        if tensor is None or tensor.type is None:
            return None
        kinds.append(tensor.type)
    if not kinds or (op.type not in _INDEXED and any(kind.dtype != kinds[0].dtype for kind in kinds)):
        return None
    return rule(op, kinds) if _is_ordinary(op, kinds) else None


_ATTRIBUTES: dict[str, str] = {
    "Conv": "auto_pad dilations group kernel_shape pads strides",
    "MaxPool": "auto_pad ceil_mode dilations kernel_shape pads storage_order strides",
    "AveragePool": "auto_pad ceil_mode count_include_pad dilations kernel_shape pads strides",
    "BatchNormalization": "epsilon momentum training_mode", "Gemm": "alpha beta transA transB", "LeakyRelu": "alpha",
    "HardSigmoid": "alpha beta", "Gelu": "approximate", "Dropout": "ratio seed", "Transpose": "perm",
    "Reshape": "allowzero", "Cast": "to saturate round_mode", "ConstantOfShape": "value", "Clip": "min max",
    **dict.fromkeys(("Softmax", "Flatten", "Concat", "Gather"), "axis"),
}  # fmt: skip
"""Attributes that the ops with a rule have in some opset; a node with any other is compared with its op's schema."""
_LISTS = frozenset({"dilations", "kernel_shape", "pads", "strides", "perm"})
_INTEGERS = frozenset({"group", "ceil_mode", "transA", "transB", "axis", "allowzero", "to", "training_mode"})
_NUMERIC = frozenset({"Add", "Sub", "Mul", "Div", "Concat", "Reshape", "Transpose", "Flatten", "Gather", "Cast",
                      "ConstantOfShape"})  # fmt: skip
"""Ops whose integer inputs aren't compared with the schema; in some opset, the others take only floating point."""


def _is_ordinary(op: Op, kinds: list[TensorType]) -> bool:
    """Return True if attributes and dtypes are common ones; other nodes are compared with the op's schema."""
    known = _ATTRIBUTES.get(op.type, "").split()
    for name, value in op.attributes.items():
        if name not in known or (name in _LISTS and not _is_integers(value)):
            return False
        if name in _INTEGERS and type(value) is not int:
            return False
        if name == "value" and value is not None and not hasattr(value, "dtype"):
            return False
    if op.type == "Gather" and kinds[-1].dtype not in {"int32", "int64"}:
        return False
    return op.type in _NUMERIC or kinds[0].floating


def _is_integers(value: object) -> bool:
    return isinstance(value, list) and all(type(n) is int for n in value)


_INDEXED = frozenset({"Gather", "Reshape"})
"""Ops whose second input holds integers (indices or a shape); all inputs of the other ops must share one dtype."""


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


@_rule("Relu", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Erf", "Sqrt", "Exp", "Clip", "Gelu",
       "Dropout")  # fmt: skip
def _same(op: Op, kinds: list[TensorType]) -> TensorType | None:
    return kinds[0] if len(kinds) == 1 or op.type == "Clip" else None


@_rule("Softmax")
def _softmax(op: Op, kinds: list[TensorType]) -> TensorType | None:
    rank = len(kinds[0].shape)
    return kinds[0] if -rank <= op.get("axis", -1 if op.opset >= 13 else 1) < rank else None


@_rule("Add", "Sub", "Mul", "Div", "Sum")
def _broadcast(op: Op, kinds: list[TensorType]) -> TensorType | None:
    first = kinds[0]
    if len(kinds) != 2 and op.type != "Sum":
        return None
    if all(kind == first for kind in kinds):
        return first
    if op.type == "Sum" and op.opset < 8:
        return None  # Sum does not broadcast before opset 8
    shape = _broadcast_shape([kind.shape for kind in kinds])
    return None if shape is None else first._replace(shape=shape)


def _broadcast_shape(shapes: Iterable[Shape]) -> Shape | None:
    """Return the broadcast shape, aligned at the last axis; None if sizes differ and neither is 1."""
    found: Shape = ()
    for shape in shapes:
        long, short = (found, shape) if len(found) >= len(shape) else (shape, found)
        padded = (1,) * (len(long) - len(short)) + short
        if any(n not in (m, 1) and m != 1 for m, n in zip(long, padded, strict=True)):
            return None
        found = tuple(n if m == 1 else m for m, n in zip(long, padded, strict=True))
    return found


@_rule("Conv")
def _convolved(op: Op, kinds: list[TensorType]) -> TensorType | None:
    if len(kinds) < 2:
        return None
    x, w = kinds[0], kinds[1].shape
    if len(x.shape) != len(w) or len(w) < 3 or x.shape[1] != w[1] * op.get("group", 1):
        return None
    if tuple(op.get("kernel_shape", w[2:])) != w[2:]:
        return None
    space = _window_positions(op, x.shape[2:], w[2:])
    return None if space is None else x._replace(shape=(x.shape[0], w[0], *space))


@_rule("MaxPool", "AveragePool")
def _pooled(op: Op, kinds: list[TensorType]) -> TensorType | None:
    x, kernel = kinds[0], tuple(op.get("kernel_shape", ()))
    if op.get("ceil_mode", 0) or not kernel or len(x.shape) != len(kernel) + 2:
        return None
    space = _window_positions(op, x.shape[2:], kernel)
    return None if space is None else x._replace(shape=(*x.shape[:2], *space))


def _window_positions(op: Op, sizes: Shape, kernel: Shape) -> Shape | None:
    """Return the number of windows along each axis.

    None if `auto_pad` is set, an attribute is invalid, or no window fits along some axis.
    """
    axes = len(kernel)
    one, pads = [1] * axes, op.get("pads", [0] * 2 * axes)
    strides, dilations = op.get("strides", one), op.get("dilations", one)
    if op.get("auto_pad", "NOTSET") != "NOTSET" or (len(pads), len(strides), len(dilations)) != (2 * axes, axes, axes):
        return None
    if min(*kernel, *strides, *dilations) < 1 or min(pads) < 0:
        return None
    steps = zip(sizes, kernel, pads[:axes], pads[axes:], strides, dilations, strict=True)
    space = tuple((n + before + after - d * (k - 1) - 1) // s + 1 for n, k, before, after, s, d in steps)
    return space if min(space) > 0 else None


@_rule("GlobalAveragePool", "GlobalMaxPool")
def _pooled_whole(op: Op, kinds: list[TensorType]) -> TensorType | None:  # noqa: ARG001  # the rules' protocol
    x = kinds[0]
    return x._replace(shape=(*x.shape[:2], *[1] * (len(x.shape) - 2))) if len(x.shape) > 2 else None


@_rule("BatchNormalization")
def _normalized(op: Op, kinds: list[TensorType]) -> TensorType | None:
    x = kinds[0]
    plain = len(kinds) == 5 and len(x.shape) > 1 and not op.get("training_mode", 0)
    return x if plain and all(kind.shape == x.shape[1:2] for kind in kinds[1:]) else None


@_rule("Flatten")
def _flat(op: Op, kinds: list[TensorType]) -> TensorType | None:
    x, axis = kinds[0], op.get("axis", 1)
    if not 0 <= axis <= len(x.shape):
        return None
    return x._replace(shape=(prod(x.shape[:axis]), prod(x.shape[axis:])))


@_rule("Gemm")
def _gemm(op: Op, kinds: list[TensorType]) -> TensorType | None:
    if len(kinds) < 2 or any(len(kind.shape) != 2 for kind in kinds[:2]):
        return None
    a, b = kinds[0].shape[:: -1 if op.get("transA", 0) else 1], kinds[1].shape[:: -1 if op.get("transB", 0) else 1]
    return kinds[0]._replace(shape=(a[0], b[1])) if a[1] == b[0] else None


@_rule("MatMul")
def _product(op: Op, kinds: list[TensorType]) -> TensorType | None:  # noqa: ARG001
    if len(kinds) != 2 or any(len(kind.shape) < 2 for kind in kinds):
        return None
    a, b = kinds[0].shape, kinds[1].shape
    batch = _broadcast_shape((a[:-2], b[:-2]))
    return kinds[0]._replace(shape=(*batch, a[-2], b[-1])) if batch is not None and a[-1] == b[-2] else None


@_rule("Transpose")
def _transposed(op: Op, kinds: list[TensorType]) -> TensorType | None:
    x = kinds[0]
    order = op.get("perm", range(len(x.shape))[::-1])
    if sorted(order) != list(range(len(x.shape))):
        return None
    return x._replace(shape=tuple(x.shape[axis] for axis in order))


@_rule("Concat")
def _concatenated(op: Op, kinds: list[TensorType]) -> TensorType | None:
    first, axis = kinds[0], op.get("axis")
    rank = len(first.shape)
    if axis is None or not -rank <= axis < rank:
        return None
    axis %= rank
    before, after = first.shape[:axis], first.shape[axis + 1 :]
    for kind in kinds:
        shape = kind.shape
        if len(shape) != rank or shape[:axis] != before or shape[axis + 1 :] != after:
            return None
    return first._replace(shape=(*before, sum(kind.shape[axis] for kind in kinds), *after))


@_rule("Reshape")
def _reshaped(op: Op, kinds: list[TensorType]) -> TensorType | None:
    shape = op.constant(1)
    if shape is None or shape.ndim != 1 or 0 in kinds[0].shape or op.get("allowzero", 0):
        return None
    x, sizes = kinds[0].shape, shape.tolist()
    if any(n == 0 and i >= len(x) for i, n in enumerate(sizes)) or min(sizes, default=0) < -1 or sizes.count(-1) > 1:
        return None
    sizes = [x[i] if n == 0 else n for i, n in enumerate(sizes)]
    if -1 in sizes:
        others = -prod(sizes)  # the minus cancels the -1
        sizes[sizes.index(-1)] = prod(x) // others
    return kinds[0]._replace(shape=tuple(sizes)) if prod(sizes) == prod(x) else None


@_rule("Gather")
def _gathered(op: Op, kinds: list[TensorType]) -> TensorType | None:
    axis = op.get("axis", 0)
    if len(kinds) != 2 or not -len(kinds[0].shape) <= axis < len(kinds[0].shape):
        return None
    x, indices = kinds[0].shape, kinds[1].shape
    axis %= len(x)
    return kinds[0]._replace(shape=(*x[:axis], *indices, *x[axis + 1 :]))


_CASTABLE = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13})
"""Element types (numbers of TensorProto.DataType) that Cast supports in every opset."""


@_rule("Cast")
def _cast(op: Op, kinds: list[TensorType]) -> TensorType | None:
    to = op.get("to", 0)
    return kinds[0].cast(DTYPES[to]) if to in _CASTABLE else None


@_rule("ConstantOfShape")
def _filled(op: Op, kinds: list[TensorType]) -> TensorType | None:  # noqa: ARG001
    sizes = op.constant(0)
    if sizes is None or sizes.ndim != 1 or min(sizes.tolist(), default=0) < 0:
        return None
    if "value" not in op.attributes:
        return TensorType(tuple(sizes.tolist()), "float32")
    value = op.get("value")
    kind = None if value is None or value.size != 1 else type_of_constant(value)
    return None if kind is None else kind._replace(shape=tuple(sizes.tolist()))
