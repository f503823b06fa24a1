"""Converts a torch op call to an `OpSpec`: its kind and relevant attributes.

A lowering is a small function registered by the op's name in the `aten` namespace, without the
trailing underscore of in-place ops. It knows the op's schema but no costs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch

from cnncost.frontends.torch.overloads import Overload
from cnncost.frontends.torch.types import attribute
from cnncost.graph import Attr, OpSpec, Shape, TensorType

Attrs: TypeAlias = dict[str, Attr]
Lowered: TypeAlias = tuple[str, Attrs]
Lowering: TypeAlias = "Callable[[OpCall], Lowered]"
Moves: TypeAlias = "tuple[tuple[Attr, ...], ...]"
"""What a layout op does, as `cnncost.ops.reach.moves` describes it."""
MoveRule: TypeAlias = "Callable[[OpCall, Shape, Shape], Moves | None]"
"""From a call and the shapes of its first input and output to its moves; None if they can't be expressed."""


class OpCall:
    """One call of a torch op, with its arguments by schema name.

    `call["weight"]` is the argument or its default; `inputs` and `outputs` are the types of all its
    tensors; `moves` is true if elements are copied to new storage, not only viewed.
    """

    __slots__ = ("arguments", "inputs", "moves", "name", "op", "outputs")

    def __init__(
        self, op: Overload, arguments: dict[str, Any], inputs: tuple[TensorType, ...],
        outputs: tuple[TensorType, ...], moves: bool,
    ) -> None:  # fmt: skip
        self.op = op
        self.name = op.name
        self.arguments = arguments
        self.inputs = inputs
        self.outputs = outputs
        self.moves = moves

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The argument, or `default` if the op has no argument of this name."""
        return self.arguments.get(name, default)

    def first(self, *names: str) -> Any:
        """The first existing argument among alternative names used by overloads."""
        return next(self.arguments[n] for n in names if n in self.arguments)

    def plain(self) -> Attrs:
        """All arguments that are neither tensors nor None."""
        return {
            name: attribute(value)
            for name, value in self.arguments.items()
            if value is not None and name != "__op__" and not _has_tensor(value)
        }


def spread(value: Any, axes: int) -> Attr:
    """Expand `[2]` or 2 to one value per axis; a padding mode ("same") is returned unchanged."""
    if isinstance(value, str):
        return value
    if type(value) is list and len(value) == axes:  # fast path: the list that torch passes
        return tuple(value)
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    return attribute(values * axes if len(values) == 1 else values)


def _has_tensor(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_has_tensor(v) for v in value)
    return isinstance(value, torch.Tensor)


_LOWERINGS: dict[str, Lowering] = {}


def lowers(*names: str) -> Callable[[Lowering], Lowering]:
    """Register a lowering for these ops. Raises ValueError if one is already registered."""

    def register(function: Lowering) -> Lowering:
        for name in names:
            if name in _LOWERINGS:
                raise ValueError(f"lowers({name!r}): the op has a lowering already")
            _LOWERINGS[name] = function
        return function

    return register


_MOVES: dict[str, MoveRule] = {}


def moves(names: str) -> Callable[[MoveRule], MoveRule]:
    """Register how these layout ops, and their `_copy` variants, move elements."""

    def register(function: MoveRule) -> MoveRule:
        for name in names.split():
            _MOVES[name] = _MOVES[f"{name}_copy"] = function
        return function

    return register


def known_moves() -> tuple[str, ...]:
    """The names of layout ops whose moves are known."""
    return tuple(_MOVES)


def moved(call: OpCall, copy: bool) -> Lowered:
    """A layout op with the moves that are registered for its name, if any."""
    rule, steps = _MOVES.get(call.name), None
    if rule is not None and call.inputs and call.outputs:
        x, y = call.inputs[0].shape, call.outputs[0].shape
        scalar = not x and len(call.inputs) == len(call.outputs) == call.outputs[0].numel == 1
        steps = (("reshape", y),) if scalar else rule(call, x, y)  # rules expect axes, and a scalar has none
    return "layout", {"copy": copy, "moves": steps}


def is_known(op: Overload) -> bool:
    """True if the op has a lowering. Composite ops without one are recorded as their inner ops."""
    return op.name in _LOWERINGS


def lower(call: OpCall) -> OpSpec:
    """The spec of a call. An unknown op has its full name as its kind."""
    kind, attrs = lowered(call) or (call.op.schema_name, call.plain())
    return OpSpec(kind, call.inputs, call.outputs, tuple(sorted(attrs.items())))


def lowered(call: OpCall) -> Lowered | None:
    """Kind and attributes of a call, or None if the op is unknown."""
    function = _LOWERINGS.get(call.name)
    if function is not None:
        return function(call)
    if call.name.startswith("profiler::"):  # `record_function`, for the profiler's timeline
        return moved(call, copy=False)
    space, _, bare = call.name.partition("::")
    if space == "prims" and bare in _PRIMS:
        return "pointwise", {"fn": _PRIMS_OF_OTHER_NAMES.get(bare, bare)}
    if call.op.is_view:
        return moved(call, call.moves)
    if torch.Tag.view_copy in call.op.func.tags or (call.op.outs and call.name.endswith("_copy")):
        return moved(call, copy=True)
    if torch.Tag.pointwise in call.op.func.tags and len(call.outputs) == 1:
        return "pointwise", {"fn": call.name}
    return None


_PRIMS_OF_OTHER_NAMES = {"bessel_i0": "i0", "bessel_i1": "i1", "erf_inv": "erfinv"}
_PRIMS = frozenset(_PRIMS_OF_OTHER_NAMES) | frozenset(
    "abs acos acosh add asin asinh atan atan2 atanh ceil cos cosh div eq erf erfc exp expm1 floor fmod ge gt isfinite"
    " le log log10 log1p lt mul ne neg pow remainder round sign sin sinh sqrt sub tan tanh where".split()
)
"""Elementwise ops without the pointwise tag, used by torch's decompositions for forward-mode derivatives."""
