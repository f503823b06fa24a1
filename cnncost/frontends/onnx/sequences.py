"""Ops on sequences and optionals that the file builds: `Tensor.parts` lists a sequence's tensors.

Building and indexing a sequence costs nothing; SplitToSequence and ConcatFromSequence copy, as Split and Concat do. If
a sequence is an input of the file, its length depends on data, and ops on it are unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from cnncost.frontends.onnx import control
from cnncost.frontends.onnx.builder import Attrs, Path
from cnncost.frontends.onnx.lowering.registry import Op, Tensor
from cnncost.frontends.onnx.protocols import Interpretation
from cnncost.frontends.onnx.tensors import LARGEST_CONSTANT
from cnncost.frontends.onnx.trips import MAX_NODES
from cnncost.tensor_types import Shape


def lower_sequence_op(
    interpreter: Interpretation, node: Any, op: Op, names: dict[str, Tensor], path: Path
) -> list[Tensor] | None:
    """Return the outputs of an op on sequences or optionals; None for other ops, and if the result is unknown."""
    rule = _RULES.get(op.type)
    if rule is None:
        return None
    outside = interpreter.prefix
    interpreter.prefix = f"{outside}{','.join(node.output)}/"  # output names are unique
    try:
        return rule(interpreter, op, names, path)
    finally:
        interpreter.prefix = outside


Rule: TypeAlias = "Callable[[Interpretation, Op, dict[str, Tensor], Path], list[Tensor] | None]"
_RULES: dict[str, Rule] = {}


def _rule(name: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        _RULES[name] = function
        return function

    return register


def _parts(op: Op) -> tuple[Tensor, ...] | None:
    return op.inputs[0].parts if op.inputs and op.inputs[0] is not None else None


def _position(op: Op, index: int, size: int, default: int) -> int | None:
    """Return an index into a sequence, counted from its start; None if it is unknown. It may be out of range."""
    if not op.has(index):
        return default
    found = op.constant(index)
    if found is None or found.size != 1:
        return None
    place = int(found.reshape(-1)[0])
    return place + size if -size <= place < 0 else place


@_rule("SequenceEmpty")
def _empty(interpreter: Interpretation, op: Op, names: dict[str, Tensor], path: Path) -> list[Tensor] | None:  # noqa: ARG001  # the protocol
    return [Tensor(None, parts=())]


@_rule("SequenceConstruct")
def _construct(interpreter: Interpretation, op: Op, names: dict[str, Tensor], path: Path) -> list[Tensor] | None:  # noqa: ARG001
    return [Tensor(None, parts=tuple(t for t in op.inputs if t is not None))]


@_rule("SequenceAt")
def _at(interpreter: Interpretation, op: Op, names: dict[str, Tensor], path: Path) -> list[Tensor] | None:  # noqa: ARG001
    parts = _parts(op)
    place = None if parts is None else _position(op, 1, len(parts), 0)
    return None if parts is None or place is None or not 0 <= place < len(parts) else [parts[place]]


@_rule("SequenceLength")
def _length(interpreter: Interpretation, op: Op, names: dict[str, Tensor], path: Path) -> list[Tensor] | None:  # noqa: ARG001
    parts = _parts(op)
    return None if parts is None else [interpreter.constant(np.asarray(len(parts), np.int64))]


@_rule("SequenceInsert")
def _insert(interpreter: Interpretation, op: Op, names: dict[str, Tensor], path: Path) -> list[Tensor] | None:  # noqa: ARG001
    parts, added = _parts(op), op.inputs[1]
    place = None if parts is None else _position(op, 2, len(parts), len(parts))
    if parts is None or place is None or added is None or not 0 <= place <= len(parts):
        return None
    return [Tensor(None, parts=(*parts[:place], added, *parts[place:]))]


@_rule("SequenceErase")
def _erase(interpreter: Interpretation, op: Op, names: dict[str, Tensor], path: Path) -> list[Tensor] | None:  # noqa: ARG001
    parts = _parts(op)
    place = None if parts is None else _position(op, 1, len(parts), len(parts) - 1)
    if parts is None or place is None or not 0 <= place < len(parts):
        return None
    return [Tensor(None, parts=(*parts[:place], *parts[place + 1 :]))]


@_rule("SequenceMap")
def _map(interpreter: Interpretation, op: Op, names: dict[str, Tensor], path: Path) -> list[Tensor] | None:
    """Run SequenceMap's body for each tensor of the first sequence.

    Each further input is a sequence of the same length, or a tensor that is passed every time.
    """
    parts, body = _parts(op), op.get("body")
    inputs = [tensor for tensor in op.inputs if tensor is not None]
    if parts is None or len(parts) * max(len(body.node), 1) > MAX_NODES:
        return None
    if any(len(t.parts) != len(parts) if t.parts is not None else t.type is None for t in inputs):
        return None
    made = []
    for i in range(len(parts)):
        bound = {
            value.name: tensor if tensor.parts is None else tensor.parts[i]
            for value, tensor in zip(body.input, inputs, strict=True)
        }
        made.append(control.run_subgraph(interpreter, body, names, bound, path, len(parts)))
    return [Tensor(None, parts=tuple(each[i] for each in made)) for i in range(len(body.output))]


@_rule("SplitToSequence")
def _split(interpreter: Interpretation, op: Op, names: dict[str, Tensor], path: Path) -> list[Tensor] | None:  # noqa: ARG001
    """Split into parts of the given sizes, or of one size (the last part may be smaller), which is 1 by default."""
    x = op.inputs[0]
    if x is None or x.type is None or not x.type.shape:
        return None
    shape, axis = x.type.shape, op.get("axis", 0)
    if not -len(shape) <= axis < len(shape):
        return None
    axis %= len(shape)
    sizes = _sizes(op, shape[axis])
    if sizes is None or sum(sizes) != shape[axis]:
        return None
    squeezed = not op.has(1) and not op.get("keepdims", 1)
    if x.constant is not None:
        values = np.split(x.constant, np.cumsum(sizes)[:-1], axis) if sizes else []
        values = [each.squeeze(axis) for each in values] if squeezed else values
        return [Tensor(None, parts=tuple(interpreter.constant(each)._replace(origins=_origins(x)) for each in values))]
    call, kind = interpreter.builder.call(path), x.type
    types = [kind._replace(shape=(*shape[:axis], size, *shape[axis + 1 :])) for size in sizes]
    value = interpreter.value(x, op.type, "", 0, call)
    moves = (("split", axis),)
    made = interpreter.builder.node(
        "onnx.SplitToSequence", "layout", {"copy": True, "moves": moves}, [value], types, call
    )
    if squeezed:
        made = tuple(_reshaped(interpreter, each, (*shape[:axis], *shape[axis + 1 :]), call) for each in made)
    return [Tensor(None, parts=tuple(interpreter.tensor(each) for each in made))]


def _origins(x: Tensor) -> tuple[Tensor, ...]:
    """Return the stored tensors that a constant was computed from."""
    return (x, *x.origins) if x.weight and x.type is not None and x.type.floating else x.origins


def _reshaped(interpreter: Interpretation, value: int, shape: Shape, call: int) -> int:
    to = interpreter.builder.values[value].type._replace(shape=shape)
    attrs: Attrs = {"copy": False, "moves": (("reshape", shape),)}
    return interpreter.builder.node("onnx.SplitToSequence", "layout", attrs, [value], [to], call, alias=True)[0]


def _sizes(op: Op, length: int) -> list[int] | None:
    """Return the sizes that SplitToSequence splits an axis of `length` into; None if they are unknown."""
    if not op.has(1):
        return [1] * length
    found = op.constant(1)
    if found is None:
        return None
    if found.ndim:
        return [int(size) for size in found]
    size = int(found)
    return [min(size, length - i) for i in range(0, length, size)] if size > 0 else None


@_rule("ConcatFromSequence")
def _concat(interpreter: Interpretation, op: Op, names: dict[str, Tensor], path: Path) -> list[Tensor] | None:  # noqa: ARG001
    """Concatenate along an axis, or stack along a new one."""
    parts, new_axis, axis = _parts(op), op.get("new_axis", 0), op.get("axis", 0)
    kinds = [part.type for part in parts or () if part.type is not None]
    if not parts or len(kinds) != len(parts) or len({kind.dtype for kind in kinds}) != 1:
        return None
    first, rank = kinds[0], len(kinds[0].shape) + bool(new_axis)
    if not -rank <= axis < rank:
        return None
    axis %= rank
    shapes: list[Shape] = [(*kind.shape[:axis], 1, *kind.shape[axis:]) if new_axis else kind.shape for kind in kinds]
    if len({(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}) != 1:
        return None
    values = [part.constant for part in parts if part.constant is not None]
    if len(values) == len(parts) and sum(value.size for value in values) <= LARGEST_CONSTANT:
        joined = interpreter.constant(np.stack(values, axis) if new_axis else np.concatenate(values, axis))
        return [joined._replace(origins=tuple(origin for part in parts for origin in _origins(part)))]
    to = first._replace(shape=(*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :]))
    call = interpreter.builder.call(path)
    read = [interpreter.value(part, op.type, "", 0, call) for part in parts]
    moves = ((("reshape", shapes[0]),) if new_axis else ()) + (("cat", axis),)
    attrs: Attrs = {"copy": True, "moves": moves}
    return [
        interpreter.tensor(interpreter.builder.node("onnx.ConcatFromSequence", "layout", attrs, read, [to], call)[0])
    ]


# ---- optionals: represented by their element; an empty one is marked `absent`


@_rule("Optional")
def _optional(interpreter: Interpretation, op: Op, names: dict[str, Tensor], path: Path) -> list[Tensor] | None:  # noqa: ARG001
    found = op.inputs[0] if op.inputs else None
    return [Tensor(None, absent=True) if found is None else found]


@_rule("OptionalHasElement")
def _has(interpreter: Interpretation, op: Op, names: dict[str, Tensor], path: Path) -> list[Tensor] | None:  # noqa: ARG001
    found = op.inputs[0] if op.inputs else None
    absent = found is None or found.absent
    if found is not None and not absent and found.type is None and found.parts is None:
        return None
    return [interpreter.constant(np.asarray(not absent))]


@_rule("OptionalGetElement")
def _element(interpreter: Interpretation, op: Op, names: dict[str, Tensor], path: Path) -> list[Tensor] | None:  # noqa: ARG001
    found = op.inputs[0] if op.inputs else None
    return None if found is None or (found.type is None and found.parts is None) else [found]


OPS = frozenset(_RULES)
