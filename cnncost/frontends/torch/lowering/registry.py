"""Convert a call of a torch op to an `OpSpec`: its kind and the attributes that costs depend on.

A lowering is a small function registered by the op's name in the `aten` namespace, without the trailing underscore of
in-place ops. It depends on the op's schema, not on costs. Its docstring gives the arguments that it uses, by their
names in the schema, with shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import torch

from cnncost.frontends.torch.overloads import Overload
from cnncost.frontends.torch.types import attribute
from cnncost.graph import Attr, OpSpec, Shape, TensorType

Attrs: TypeAlias = dict[str, Attr]
Lowered: TypeAlias = tuple[str, Attrs]
Lowering: TypeAlias = "Callable[[OpCall], Lowered | None]"
"""Returns the kind and attributes of a call; None if it can't tell, so that the op is unknown."""
SomeLowering = TypeVar("SomeLowering", bound=Lowering)
Moves: TypeAlias = "tuple[tuple[Attr, ...], ...]"
"""The moves of a layout op, in the form of `cnncost.ops.reach.moves`."""
MoveRule: TypeAlias = "Callable[[OpCall, Shape, Shape], Moves | None]"
"""Maps a call and the shapes of its first input and output to its moves; None if they can't be expressed."""


class OpCall:
    """One call of a torch op, with its arguments by schema name.

    `call["weight"]` is the argument or its default; `inputs` and `outputs` are the types of all its tensors;
    `moves` is whether elements are copied to a new storage, not only viewed.
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
        """Return the argument, or `default` if the op has no argument of this name."""
        return self.arguments.get(name, default)

    def first(self, *names: str) -> Any:
        """Return the argument by the first of these names that exists: they differ between overloads."""
        return next(self.arguments[n] for n in names if n in self.arguments)

    def plain(self) -> Attrs:
        """Return all arguments that are neither tensors nor None, as attributes."""
        return {
            name: attribute(value)
            for name, value in self.arguments.items()
            if value is not None and name != "__op__" and not _has_tensor(value)  # `__op__`: the op's name
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


def lowers(*names: str) -> Callable[[SomeLowering], SomeLowering]:
    """Register a lowering for these ops. Raises ValueError if one is already registered."""

    def register(function: SomeLowering) -> SomeLowering:
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
    """Return the names of the layout ops with a move rule."""
    return tuple(_MOVES)


def lower_layout(call: OpCall, copy: bool) -> Lowered:
    """Lower a layout op, with the moves by the rule for its name, if any. `copy`: whether elements are copied."""
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
    """Return the spec of a call. An unknown op has its full name as its kind."""
    kind, attrs = kind_and_attrs(call) or (call.op.schema_name, call.plain())
    return OpSpec(kind, call.inputs, call.outputs, tuple(sorted(attrs.items())))


def kind_and_attrs(call: OpCall) -> Lowered | None:
    """Return the kind and attributes of a call; None if the op is unknown."""
    function = _LOWERINGS.get(call.name)
    if function is not None:
        return function(call)
    if call.name.startswith("profiler::"):  # `record_function`, for the profiler's timeline
        return lower_layout(call, copy=False)
    namespace, _, name = call.name.partition("::")
    if namespace == "prims" and name in _PRIMS:
        return "pointwise", {"fn": _PRIM_ALIASES.get(name, name)}
    if call.op.is_view:
        return lower_layout(call, call.moves)
    if torch.Tag.view_copy in call.op.func.tags or (call.op.outs and call.name.endswith("_copy")):
        return lower_layout(call, copy=True)
    if torch.Tag.pointwise in call.op.func.tags and len(call.outputs) == 1:
        return "pointwise", {"fn": call.name}
    return None


_PRIM_ALIASES = {"bessel_i0": "i0", "bessel_i1": "i1", "erf_inv": "erfinv"}
_PRIMS = frozenset(_PRIM_ALIASES) | frozenset(
    "abs acos acosh add asin asinh atan atan2 atanh ceil cos cosh div eq erf erfc exp expm1 floor fmod ge gt isfinite"
    " le log log10 log1p lt mul ne neg pow remainder round sign sin sinh sqrt sub tan tanh where".split()
)
"""Elementwise ops of `torch.ops.prims`, which lack the pointwise tag; forward-mode derivatives decompose into them."""
