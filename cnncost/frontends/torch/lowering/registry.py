"""From a torch op to an `OpSpec`: which kind it is, and the attributes that matter.

A lowering is a small function found by the op's name in the `aten` namespace, without the
underscore of its form in place. It knows torch's argument order and no cost.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import torch

from cnncost.frontends.torch.types import attribute
from cnncost.graph import Attr, OpSpec, TensorType

Attrs: TypeAlias = dict[str, Attr]
Lowered: TypeAlias = tuple[str, Attrs]
Lowering: TypeAlias = "Callable[[OpCall], Lowered]"


class OpCall:
    """One call of a torch op, its arguments by the names of its schema.

    `call["weight"]` is the argument or its default; `inputs` and `outputs` are the types of all its
    tensors; `moves` says whether an output has storage of its own.
    """

    __slots__ = ("arguments", "func", "inputs", "moves", "name", "outputs")

    def __init__(
        self, func: Any, arguments: dict[str, Any], inputs: tuple[TensorType, ...],
        outputs: tuple[TensorType, ...], moves: bool,
    ) -> None:  # fmt: skip
        self.func = func
        self.name = op_name(func)
        self.arguments = arguments
        self.inputs = inputs
        self.outputs = outputs
        self.moves = moves

    @classmethod
    def bind(
        cls, func: Any, args: Any, kwargs: Any,
        inputs: tuple[TensorType, ...], outputs: tuple[TensorType, ...], moves: bool,
    ) -> OpCall:  # fmt: skip
        """Match arguments to the names of the op's schema, and fill in the defaults."""
        return cls(func, bound(func, args, kwargs), inputs, outputs, moves)

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The argument, or `default` if the op has none of this name."""
        return self.arguments.get(name, default)

    def first(self, *names: str) -> Any:
        """The first argument that the op has, of several names that overloads use."""
        return next(self.arguments[n] for n in names if n in self.arguments)

    def plain(self) -> Attrs:
        """All arguments that are not tensors and not None."""
        return {
            name: attribute(value)
            for name, value in self.arguments.items()
            if value is not None and name != "__op__" and not _has_tensor(value)
        }


def bound(func: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """Arguments of an op by name, with defaults; `__op__` is its name."""
    named = _defaults(func).copy()
    named.update(zip(named, args, strict=False))
    if kwargs:
        named.update(kwargs)
    named["__op__"] = op_name(func)
    return named


@cache
def _defaults(func: Any) -> dict[str, Any]:
    """The arguments of an op's schema, in order, with their defaults."""
    return {argument.name: argument.default_value for argument in func._schema.arguments}


def spread(value: Any, axes: int) -> Attr:
    """`[2]` or 2 as a value for each axis; a padding mode ("same") stays a word."""
    if isinstance(value, str):
        return value
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    return attribute(values * axes if len(values) == 1 else values)


def _has_tensor(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_has_tensor(v) for v in value)
    return isinstance(value, torch.Tensor)


@cache
def op_name(func: Any) -> str:
    """`relu` for `aten::relu_`; other namespaces keep theirs (`my_lib::my_op`)."""
    space, _, name = func._schema.name.partition("::")
    if space != "aten":
        return str(func._schema.name)
    if name.endswith("_") and not name.startswith("__") and func._schema.is_mutable:
        return str(name[:-1])
    return str(name)


_LOWERINGS: dict[str, Lowering] = {}


def lowers(*names: str) -> Callable[[Lowering], Lowering]:
    """Register a lowering for these ops. Raises ValueError if one has one already."""

    def register(function: Lowering) -> Lowering:
        for name in names:
            if name in _LOWERINGS:
                raise ValueError(f"lowers({name!r}): the op has a lowering already")
            _LOWERINGS[name] = function
        return function

    return register


def is_known(func: Any) -> bool:
    """Whether the op has a lowering. Composite ops without one are recorded as their parts."""
    return op_name(func) in _LOWERINGS


def lower(call: OpCall) -> OpSpec:
    """The spec of a call. An op that nothing is known of keeps its full name as its kind."""
    function = _LOWERINGS.get(call.name)
    if function is not None:
        kind, attrs = function(call)
    elif call.name.startswith("profiler::"):  # marks in a timeline, as wrappers set them
        kind, attrs = "layout", {"fn": call.name, "copy": False}
    elif call.func.is_view:
        kind, attrs = "layout", {"fn": call.name, "copy": call.moves, **call.plain()}
    elif torch.Tag.pointwise in call.func.tags and len(call.outputs) == 1:
        kind, attrs = "pointwise", {"fn": call.name}
    else:
        kind, attrs = str(call.func._schema.name), call.plain()
    return OpSpec(kind, call.inputs, call.outputs, tuple(sorted(attrs.items())))
